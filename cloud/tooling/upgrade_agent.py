"""Agent upgrade of a group: its next Greengrass deployment has another version of the agent.

The same deployment sets the classic nucleus' time source (the time by which it merges values). It can,
because a nucleus asks no agent to validate a deployment that changes the agent's version, not even on a
device that was offline before; so agents that validate (``validating_agents``) do not fail it. The
applications stay as deployed: there is no new revision, and the newest deployment's row then names the
Greengrass deployment that carries it now.

Greengrass has no conditional write. A deployment of ours at the same moment is seen in the deployments table:
from before it reads what is there until after it has made its own, its row is SUBMITTING. Deployments by
others are seen only if they were first.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from cloud.aws.account import Account
from cloud.aws.errors import Refused
from cloud.aws.iot_registry import Registry
from cloud.clock import utc_now
from cloud.domain.deployments.deployment import Deployment, DeploymentState, wanted_of
from cloud.domain.deployments.greengrass import Submitted, TargetDeployment
from cloud.domain.deployments.greengrass_components import (
    NUCLEUS,
    AgentUnpublished,
    Components,
    ConfigurationUnreadable,
    agent_version,
    carries,
    lacks_time_source,
    upgrade,
)
from cloud.domain.deployments.group_nucleus import fitting, taken_out
from cloud.domain.deployments.validating_agents import few, validating
from cloud.ports.greengrass import Greengrass
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from contract.names import COMPONENT, Nucleus

log = logging.getLogger(__name__)

_ATTEMPTS = 3  # where others deploy at the same moment
_LOOK_EVERY_S = 2.0
_LOOKS = 15  # at a deployment that is being submitted; most are within a second


class UpgradeRefused(Exception):
    """Nothing was deployed; the text says why and what to do."""

    code = "upgrade-refused"


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of an upgrade, of one account and region; ``iot`` is boto3's."""

    iot: Any
    greengrass: Greengrass
    deployments: Deployments
    devices: Devices


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The result of an upgrade; ``changed`` says what this run changed, in sentences.

    ``watched``: whether agents that fall silent with it are told of, as they are with a revision of ours.
    """

    group: str
    agent_version: str
    agent_version_before: str | None
    greengrass_deployment_id: str
    changed: tuple[str, ...]
    watched: bool


def upgrade_agent(
    clients: Clients, *, group: str, version: str, sleep: Callable[[float], None] = time.sleep
) -> Upgraded:
    """Deploy the agent at ``version`` to ``group``; empty: at the newest that is published.

    Raises:
        UpgradeRefused: there is no such group, no published version, nothing was deployed to it or nothing
            would change; it would fail on devices; others deploy to it at this moment.
    """
    arn = _arn(clients.iot, group)
    version = version or _newest(clients.greengrass, arn)
    nucleus = Registry(clients.iot).nucleus_of(group)
    document_uri: str | None = None  # what must be desired, once others were seen
    before: TargetDeployment | None = None
    for _ in range(_ATTEMPTS):
        newest = _at_rest(clients.deployments, group, sleep)
        latest = clients.greengrass.latest(arn)
        components = _planned(clients, group, version, latest, document_uri, nucleus)
        assert latest is not None  # noqa: S101 - a plan is made of it
        before = before or latest
        if components == latest.components:
            _follow(clients.deployments, group, latest.components, latest.greengrass_id, latest.job_id)
            if before is latest:
                raise UpgradeRefused(f"{group} has {COMPONENT} {version} already, and nothing would change")
            watched = _wanted(clients.deployments, group) is not None
            return _upgraded(group, version, before, latest.greengrass_id, components, watched=watched)
        again = clients.greengrass.latest(arn)
        if again is None or again.greengrass_id != latest.greengrass_id:
            continue  # what others made meanwhile is kept: plan on top of that
        made = _create(clients.greengrass, arn, group, version, components)
        if _same(newest, next(clients.deployments.newest_first(_target(group)), None)):
            _follow(clients.deployments, group, components, made.greengrass_id, made.job_id)
            watched = _wanted(clients.deployments, group) is not None
            return _upgraded(group, version, before, made.greengrass_id, components, watched=watched)
        _at_rest(clients.deployments, group, sleep)
        wanted = _wanted(clients.deployments, group)
        document_uri = None if wanted is None else wanted.document_uri
    raise UpgradeRefused(f"others deploy to {group} again and again at this moment: run it again later")


def _target(group: str) -> str:
    return f"thinggroup/{group}"


def _arn(iot: Any, group: str) -> str:
    try:
        return str(iot.describe_thing_group(thingGroupName=group)["thingGroupArn"])
    except iot.exceptions.ResourceNotFoundException:
        raise UpgradeRefused(f'there is no group "{group}"') from None


def _newest(greengrass: Greengrass, group_arn: str) -> str:
    newest = greengrass.newest(Account.of(group_arn).component_arn(COMPONENT))
    if newest is None:
        raise UpgradeRefused(str(AgentUnpublished()))
    return newest


def _at_rest(deployments: Deployments, group: str, sleep: Callable[[float], None]) -> Deployment | None:
    """Return the newest deployment of ours once it is not being submitted."""
    for _ in range(_LOOKS):
        newest = next(deployments.newest_first(_target(group)), None)
        if newest is None or newest.state is not DeploymentState.SUBMITTING:
            return newest
        log.info("waiting for a deployment: revision=%s", newest.revision)
        sleep(_LOOK_EVERY_S)
    raise UpgradeRefused(f"a deployment to {group} is being submitted: run it again in some minutes")


def _wanted(deployments: Deployments, group: str) -> Deployment | None:
    return wanted_of(deployments.newest_first(_target(group)))


def _same(one: Deployment | None, other: Deployment | None) -> bool:
    return (one and one.id) == (other and other.id)


def _planned(
    clients: Clients,
    group: str,
    version: str,
    latest: TargetDeployment | None,
    document_uri: str | None,
    nucleus: Nucleus | None,
) -> Components:
    if latest is None or COMPONENT not in latest.components:
        raise UpgradeRefused(f"{COMPONENT} was never deployed to {group}: enrol a device into it, or deploy")
    existing, _ = fitting(latest.components, nucleus)
    lacks = lacks_time_source(existing)
    asked = validating(clients.devices.in_group(group), version) if lacks else []
    if asked:
        raise UpgradeRefused(
            f"{few(asked)} would fail it: with {version} they stay at an agent that has its configuration "
            f"validated, while that of {NUCLEUS} changes too: publish and name a newer version"
        )
    try:
        return upgrade(existing, agent_version=version, time_source=lacks, document_uri=document_uri)
    except ConfigurationUnreadable as error:
        raise UpgradeRefused(str(error)) from error


def _create(greengrass: Greengrass, arn: str, group: str, version: str, components: Components) -> Submitted:
    name = f"fleetgrass {group}: agent {version}"
    try:
        return greengrass.create(arn, name=name, components=components, client_token=str(uuid4()))
    except Refused as error:
        raise UpgradeRefused(
            f"Greengrass refused it: {error} (is {COMPONENT} {version} published?)"
        ) from error


def _follow(
    deployments: Deployments, group: str, components: Components, greengrass_id: str, job_id: str | None
) -> None:
    """Have our newest deployment's row name the Greengrass deployment that brings it to devices now."""
    for _ in range(_ATTEMPTS):  # its state may change at the same moment, twice at most
        row = _wanted(deployments, group)
        if row is None or row.greengrass_id == greengrass_id or not carries(components, row.document_uri):
            return
        if deployments.carried_by(row, greengrass_id=greengrass_id, job_id=job_id, now=utc_now()):
            return
    log.warning("the deployment does not name what carries it now: run it again")


def _upgraded(
    group: str,
    version: str,
    before: TargetDeployment,
    greengrass_id: str,
    after: Components,
    *,
    watched: bool,
) -> Upgraded:
    was = agent_version(before.components)
    changed = []
    if was != version:
        changed.append(f"{COMPONENT} {was} becomes {version}")
    if before.components[COMPONENT].get("runWith") != after[COMPONENT].get("runWith"):
        changed.append(f"{COMPONENT} runs as root")
    out = tuple(name for name in before.components if name not in after)
    if out:
        changed.append(taken_out(group, out))
    elif lacks_time_source(before.components) and not lacks_time_source(after):
        changed.append(f"{NUCLEUS} merges values by the time at which a device processes a deployment")
    if not watched:
        log.warning("no deployment of ours yet, so silent agents of %s will not be noticed", group)
    log.info("upgraded: group=%s version=%s greengrass=%s", group, version, greengrass_id)
    return Upgraded(group, version, was, greengrass_id, tuple(changed), watched)
