"""Deployment watch: outcomes on the devices as they are now, and what is wrong with the whole.

One look reads every member's row once (100 per call). It asks Greengrass only for members of an ACTIVE
deployment that reported nothing of it, ``ASKED_AT_ONCE`` of them per look, in turn. The result is written
into the deployment's row, where lists and groups show it.
"""

import logging
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from cloud.aws.errors import CloudError
from cloud.domain.deployments.deployment import Deployment, DeploymentState, in_force
from cloud.domain.deployments.deployment_outcomes import (
    DeviceOutcome,
    OutcomeState,
    Trouble,
    as_they_are,
    trouble,
)
from cloud.domain.deployments.lost_agents import still_watched
from cloud.domain.devices.device import Device
from cloud.domain.devices.diagnosis import job_words
from cloud.domain.devices.diagnosis_facts import Job
from cloud.ports.greengrass import Greengrass
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.telemetry.logs import log_event
from cloud.telemetry.metrics import Metric, count

log = logging.getLogger(__name__)

PAGE = 100  # rows of one call
ASKED_AT_ONCE = 10  # members that Greengrass is asked for in one look
ASKED_IN_ALL = 50  # in all looks of one sweep, which has a minute
#: While agents are silent, so that it is known soon when they are back.
LOOK_WHILE_LOST = timedelta(minutes=5)
#: Final job statuses that count as the outcome of a device that reports none itself.
_ENDED = ("FAILED", "TIMED_OUT", "REJECTED")
#: How a job fails that leaves the device with neither what it had before nor what it should have.
_NOT_BACK = ("UNABLE_TO_ROLLBACK", "ROLLBACK_NOT_REQUESTED")


def rows_of(devices: Devices, names: Collection[str]) -> dict[str, Device]:
    """Return the rows of devices by name, in as many calls as they have pages."""
    wanted, found = sorted(names), dict[str, Device]()
    for start in range(0, len(wanted), PAGE):
        found |= devices.named(wanted[start : start + PAGE])
    return found


class Watch:
    """Looks at deployments, as one sweep does. Raises ``cloud.aws.errors`` when a table cannot be asked."""

    def __init__(self, deployments: Deployments, devices: Devices, greengrass: Greengrass) -> None:
        self._deployments = deployments
        self._devices = devices
        self._greengrass = greengrass
        self._may_ask = ASKED_IN_ALL

    def look(
        self, deployment: Deployment, members: Collection[str], now: datetime
    ) -> Mapping[str, Mapping[str, Any]] | None:
        """Store what is wrong with ``deployment``; return every member's outcome as it is now.

        None where another deployment took its place, so that devices are not measured by this one.
        """
        newest = in_force(self._deployments.newest_first(deployment.target))
        if newest is None or newest.id != deployment.id:
            return None
        rows = rows_of(self._devices, members)
        recorded = self._deployments.outcomes(deployment.id)
        if deployment.state is DeploymentState.ACTIVE and self._ask(deployment, rows, recorded, now):
            recorded = self._deployments.outcomes(deployment.id)
        outcomes = as_they_are(deployment, rows, members, recorded)
        found = trouble(deployment, rows, outcomes, now)
        matter = still_watched(deployment, found.silenced_at, now)
        watched_at = tuple(each for each in matter if each not in deployment.own_given_at)
        noted = (deployment.code, deployment.message, deployment.agents_lost, deployment.watched_at)
        if (found.code, found.message, found.agents_lost, watched_at) != noted:
            self._note(deployment, found, watched_at)
        return outcomes

    def _note(self, deployment: Deployment, found: Trouble, watched_at: Sequence[datetime]) -> None:
        code, lost = found.code, found.agents_lost
        if not self._deployments.note(
            deployment, code=code, message=found.message, agents_lost=lost, watched_at=watched_at
        ):
            return
        log_event(
            log, "deployment looked at", deployment=deployment.id, group=deployment.group,
            code=code, agents_lost=lost,
        )  # fmt: skip
        if lost > deployment.agents_lost:
            count(Metric.AGENTS_LOST, lost - deployment.agents_lost)

    def _ask(
        self,
        deployment: Deployment,
        rows: Mapping[str, Device],
        recorded: Collection[str],
        now: datetime,
    ) -> int:
        """Record the ends of jobs of members that said nothing; return how many there were.

        Each look goes on after the name at which the one before it ended, so that none is left out.
        """
        if deployment.greengrass_id is None:
            return 0
        silent = sorted(name for name in rows if name not in recorded)
        start = bisect_right(silent, deployment.asked or "")
        ended, asked = 0, None
        for name in islice(silent[start:] + silent[:start], min(ASKED_AT_ONCE, self._may_ask)):
            self._may_ask -= 1
            try:
                job = self._greengrass.on_device(name, deployment.greengrass_id)
            except CloudError as error:  # what is known without it is told all the same
                log_event(log, "Greengrass did not say", level=logging.WARNING, device=name, code=error.code)
                break
            asked = name
            if job is not None and job.status in _ENDED:
                code, message = job_words(job)
                outcome = DeviceOutcome(
                    deployment.id, OutcomeState.FAILED, None, code, message[:512], refused=_is_refusal(job)
                )
                ended += self._deployments.record_end_of_job(
                    deployment.id, name, outcome.to_dict(), min(job.changed_at or now, now)
                )
        if asked is not None and len(silent) > ASKED_AT_ONCE:
            self._deployments.asked(deployment, asked)
        return ended


def _is_refusal(job: Job) -> bool:
    """Whether the device kept what it had; a nucleus that took too long does not say so."""
    said = (job.reason or "").upper()
    return job.status in ("FAILED", "REJECTED") and not any(word in said for word in _NOT_BACK)
