"""Submission of a deployment: from a SUBMITTING row to Greengrass, resumed after a crash at any point.

The order of steps, and what is left when the process dies after each:

1. document put: an object that no row names, under its own hash;
2. row SUBMITTING: a revision that ``finish`` completes;
3. CreateDeployment: Greengrass has it and the row does not say so; ``finish`` adopts it;
4. older revisions SUPERSEDED: done again by ``finish``, changes nothing;
5. row ACTIVE: done.

The document comes first so that a row always names a document that exists. Never imports an SDK.
"""

import hashlib
import json
import logging
from datetime import datetime, timedelta

from cloud.aws.account import Account
from cloud.aws.errors import CloudError, Conflict, Refused, Unavailable
from cloud.clock import Clock
from cloud.domain.deployments.deployment import Deployment, DeploymentState
from cloud.domain.deployments.deployment_outcomes import all_run
from cloud.domain.deployments.greengrass import Submitted, TargetDeployment
from cloud.domain.deployments.greengrass_components import (
    AgentUnpublished,
    Components,
    ConfigurationUnreadable,
    agent_version,
    carries,
    lacks_time_source,
    merge,
)
from cloud.domain.deployments.group_nucleus import fitting, taken_out
from cloud.domain.deployments.lost_agents import WATCHED
from cloud.domain.deployments.validating_agents import validating, warnings_of
from cloud.ports.greengrass import Greengrass
from cloud.ports.groups import Group, Groups
from cloud.services.deployment_watch import LOOK_WHILE_LOST, Watch, rows_of
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.telemetry.logs import log_event
from cloud.telemetry.metrics import Metric, count
from contract.names import COMPONENT, Nucleus

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(minutes=1)  # at an ACTIVE deployment, while it is young, and at one not finished
LOOK_AT_LEAST_EVERY = timedelta(hours=6)
GIVE_UP_AFTER = timedelta(minutes=15)  # on a conflict that does not pass: the target is not ours to block


class Submission:
    """Finishes what was begun; every method may be called again, by anybody, at any time."""

    def __init__(
        self,
        *,
        deployments: Deployments,
        greengrass: Greengrass,
        devices: Devices,
        groups: Groups,
        account: Account,
        agent_version: str,
        stale_s: float,
        clock: Clock,
    ) -> None:
        """``agent_version`` is what targets without an agent get; empty: the newest published."""
        self.deployments = deployments
        self._greengrass = greengrass
        self._devices = devices
        self._groups = groups
        self._account = account
        self._agent_version = agent_version
        self._stale = timedelta(seconds=stale_s)
        self._clock = clock
        self._watch = Watch(deployments, devices, greengrass)

    def due_at(self, created_at: datetime) -> datetime:
        """Return when a row that is SUBMITTING since ``created_at`` has been left behind."""
        return created_at + self._stale

    def is_stale(self, deployment: Deployment) -> bool:
        """Return whether ``deployment`` was left half done."""
        return deployment.state is DeploymentState.SUBMITTING and self._clock() >= self.due_at(
            deployment.created_at
        )

    def finish(self, deployment: Deployment, group: Group | None = None) -> Deployment:
        """Complete a SUBMITTING deployment and return it as it is then: ACTIVE or FAILED.

        Adopts the target's latest Greengrass deployment when it carries our document. ``group`` is the
        target, where it was looked at already.

        Raises:
            Unavailable: it is unknown whether Greengrass has it; it stays SUBMITTING.
        """
        try:
            submitted, warnings = self._submit(deployment, group)
        except Conflict as error:
            if self._clock() - deployment.created_at < GIVE_UP_AFTER:
                raise Unavailable(str(error)) from error
            return self._fail(deployment, "greengrass-conflict", str(error))
        except Refused as error:
            return self._fail(deployment, "greengrass-refused", str(error))
        except (ConfigurationUnreadable, AgentUnpublished) as error:
            return self._fail(deployment, error.code, str(error))
        now = self._clock()
        self.deployments.supersede_before(deployment, now=now)
        self.deployments.activate(
            deployment,
            greengrass_id=submitted.greengrass_id,
            job_id=submitted.job_id,
            warnings=(*deployment.warnings, *warnings),
            now=now,
            due_at=now + LOOK_EVERY,
        )
        log_event(
            log, "deployment submitted", deployment=deployment.id, group=deployment.group,
            revision=deployment.revision, greengrass=submitted.greengrass_id,
        )  # fmt: skip
        return self._as_it_is(deployment)

    def finish_stale(self, now: datetime) -> int:
        """Finish every deployment that was left half done and look at the others; return how many moved.

        One that cannot be finished now is looked at again a minute later, after the others that are due.
        """
        moved = 0
        for due in self.deployments.due(now):
            deployment = self._as_it_is(due)  # the index lags behind the table
            try:
                after = self._look_at(deployment, now)
            except CloudError as error:
                log_event(
                    log, "deployment not finished", level=logging.WARNING, error=error,
                    deployment=deployment.id, group=deployment.group, code=error.code,
                )  # fmt: skip
                self.deployments.look_again(deployment, due_at=now + LOOK_EVERY)
                continue
            moved += after.state is not deployment.state
        return moved

    def _look_at(self, deployment: Deployment, now: datetime) -> Deployment:
        if deployment.state is DeploymentState.SUBMITTING:
            return self.finish(deployment)
        if deployment.state not in (DeploymentState.ACTIVE, DeploymentState.SUCCEEDED):
            return deployment
        members = set(self._devices.names_in_group(deployment.group))
        outcomes = self._watch.look(deployment, members, now)
        if deployment.state is DeploymentState.ACTIVE and all_run(members, outcomes or {}):
            self.deployments.succeed(deployment, now=now)
        after = self._as_it_is(deployment)
        wait = next_look(after, now)
        if wait is None or (outcomes is None and after.state is DeploymentState.SUCCEEDED):
            self.deployments.look_no_more(after)
        else:
            self.deployments.look_again(after, due_at=now + wait)
        return after

    def _submit(self, deployment: Deployment, group: Group | None) -> tuple[Submitted, tuple[str, ...]]:
        """Return what Greengrass calls it, and what is to be said of what the target had already."""
        target_arn = self._account.iot_arn(deployment.target)
        latest = self._greengrass.latest(target_arn)
        if latest is not None and carries(latest.components, deployment.document_uri):
            return Submitted(latest.greengrass_id, latest.job_id), ()
        nucleus = self._groups.nucleus_of(deployment.group) if group is None else group.nucleus
        existing, out = fitting({} if latest is None else latest.components, nucleus)
        ours = None if latest is None else self._ours_before(deployment, latest)
        added = () if COMPONENT in existing else (self._version_to_add(),)
        # The group's members matter only where more than the agent's configuration may change on a device,
        # and the nucleus may ask for validation, which Lite does not.
        matters = nucleus is not Nucleus.LITE and (ours is not None or lacks_time_source(existing))
        members = self._devices.names_in_group(deployment.group) if matters else ()
        devices = rows_of(self._devices, members).values()
        components = merge(
            existing,
            document_uri=deployment.document_uri,
            agent_version="".join(added),
            time_source=not validating(devices, agent_version(existing)),
        )
        submitted = self._greengrass.create(
            target_arn,
            name=f"fleetgrass {deployment.group} {deployment.revision}",
            components=components,
            client_token=_token(deployment, latest, components),
        )
        said = [f"{COMPONENT} {version} is added to what {deployment.group} has" for version in added]
        if out:
            said.append(taken_out(deployment.group, out))
        return submitted, (*said, *warnings_of(existing, ours, devices, group=deployment.group))

    def _version_to_add(self) -> str:
        newest = self._agent_version or self._greengrass.newest(self._account.component_arn(COMPONENT))
        if newest is None:
            raise AgentUnpublished
        return newest

    def _ours_before(self, deployment: Deployment, latest: TargetDeployment) -> Components | None:
        """Return the components of our deployment before this one, where others deployed on top of it."""
        for older in self.deployments.newest_first(deployment.target, before=deployment.revision):
            if older.greengrass_id == latest.greengrass_id:
                return None
            if older.greengrass_id is not None:
                return self._greengrass.components(older.greengrass_id)
        return None

    def _fail(self, deployment: Deployment, code: str, message: str) -> Deployment:
        if self.deployments.fail(deployment, code=code, message=message, now=self._clock()):
            log_event(
                log, "deployment refused", level=logging.ERROR,
                deployment=deployment.id, group=deployment.group, code=code,
            )  # fmt: skip
            count(Metric.DEPLOYMENTS_FAILED, code=code)
        return self._as_it_is(deployment)

    def _as_it_is(self, deployment: Deployment) -> Deployment:
        return self.deployments.get(deployment.id) or deployment


def _token(deployment: Deployment, latest: TargetDeployment | None, components: Components) -> str:
    """Return what makes a second try the same Greengrass deployment: the same content on the same one.

    What a try finds may differ from what the one before it found: the devices' agents, and what others
    deployed. With other content Greengrass refuses a token that it knows, and with the same it gives the
    deployment that others replaced since. Two that carry the same document do no harm.
    """
    found = [latest and latest.greengrass_id, components]
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return f"{deployment.id}-{digest[:16]}"


def next_look(deployment: Deployment, now: datetime) -> timedelta | None:
    """Return how soon an ACTIVE or SUCCEEDED deployment is looked at again; None: there is nothing to see."""
    age = now - deployment.deployed_at
    wait = max(LOOK_EVERY, min(age / 10, LOOK_AT_LEAST_EVERY))
    if deployment.agents_lost:
        return min(wait, LOOK_WHILE_LOST)
    return wait if deployment.state is DeploymentState.ACTIVE or age < WATCHED else None
