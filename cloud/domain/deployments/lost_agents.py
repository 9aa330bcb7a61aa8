"""Agents that fell silent with a deployment: which, with which one, and how long they are watched. Pure.

A change is deployed to a group with a deployment, and with another version of the agent. An agent that fell
silent after such a change is lost until it reports again, whatever was deployed since: the deployment that
cures a group goes to its lost agents too, and they cannot receive it. A deployment's row therefore keeps the
times of the earlier changes that still matter (``watched_at``), and the next deployment takes them over.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from cloud.domain.deployments.deployment import Deployment
from cloud.domain.devices.device import Device
from cloud.domain.devices.presence import LOST_WITHIN, lost_at

#: An agent that was well until the last moment of ``LOST_WITHIN`` is overdue some time later.
WATCHED = LOST_WITHIN + timedelta(hours=1)


def lost_with(deployment: Deployment, rows: Mapping[str, Device], now: datetime) -> dict[str, datetime]:
    """Return the devices that are lost, in order of name, with what silenced each."""
    found = {name: lost_at(row, deployment.given_at, now) for name, row in sorted(rows.items())}
    return {name: moment for name, moment in found.items() if moment is not None}


def taken_over(before: Deployment | None, now: datetime) -> tuple[datetime, ...]:
    """Return the times of ``before`` that are still watched when something is deployed on it ``now``."""
    if before is None:
        return ()
    return still_watched(before, before.given_at if before.agents_lost else (), now)


def still_watched(
    deployment: Deployment, silenced: Iterable[datetime], now: datetime
) -> tuple[datetime, ...]:
    """Return the times that still matter: those that ``silenced`` agents, and the recent ones.

    One between two others that are no more than ``LOST_WITHIN`` apart finds nobody that those do not.
    """
    kept: list[datetime] = []
    for moment in sorted({*silenced, *(each for each in deployment.given_at if now - each < WATCHED)}):
        while len(kept) > 1 and moment - kept[-2] <= LOST_WITHIN:
            kept.pop()
        kept.append(moment)
    return tuple(kept)
