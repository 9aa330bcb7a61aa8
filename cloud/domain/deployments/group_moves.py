"""Rules for moving a device into a group, where another group deployed to it. Pure.

A move is refused where it fails for certain, or silently. Nothing is checked for a new group without any
deployment, because there is nothing to merge, and for Lite, which does not merge by time. Where the new
group's deployment names no classic nucleus, the device's own nucleus configuration decides: the move is
allowed, unless the old group's deployment shows that this configuration would keep the old applications. The
new group's first deployment is carried out by the nucleus that the old group deployed.
"""

from pydantic import TypeAdapter, ValidationError

from cloud.domain.deployments.greengrass_components import (
    NUCLEUS,
    TIME_SOURCE_SINCE,
    Components,
    agent_version,
    lacks_time_source,
    nucleus_before_time_source,
    reconfigured,
)
from cloud.domain.deployments.group_nucleus import Obstacle
from cloud.domain.deployments.validating_agents import validating
from cloud.domain.devices.device import Device
from contract.names import GroupName, Nucleus

_GROUP: TypeAdapter[str] = TypeAdapter(GroupName)


def origin(device: Device | None, group: str | None) -> str | None:
    """Return the group whose deployment ``device`` has: ``group`` or, in none, the one it follows."""
    if group is not None or device is None:
        return group
    kind, _, name = str(device.desired.get("target")).partition("/")
    try:
        return _GROUP.validate_python(name) if kind == "thinggroup" else None
    except ValidationError:
        return None  # a device may say anything


def obstacle(
    group: str,
    latest: Components,
    *,
    nucleus: Nucleus | None,
    device: Device | None = None,
    leaving: Components | None = None,
    comes_from: str | None = None,
) -> Obstacle | None:
    """Return why ``device`` may not come into ``group`` with that latest deployment; None when it may.

    ``leaving`` is the latest deployment of the group that it ``comes_from``, where that is known; ``nucleus``
    is what the group is of. Whether the device's own fits is ``group_nucleus.mismatch``'s to say.
    """
    if nucleus is Nucleus.LITE or comes_from == group:
        return None  # merged by no time, or what the device has is this group's
    cure = f"`python -m cloud upgrade-agent --group {group}`"
    too_old = nucleus_before_time_source(latest)
    if too_old is not None:
        return Obstacle(
            "group-needs-deployment",
            f"{_keeps(group)} its nucleus {too_old} knows no other time: deploy nucleus {TIME_SOURCE_SINCE} "
            "or newer to it first",
        )
    if lacks_time_source(latest):
        return Obstacle(
            "group-needs-deployment",
            f"{_keeps(group)} deploy to it first (POST /deployments), or {cure} where it warns of agents",
        )
    if leaving is not None and comes_from is not None:
        found = _left_behind(comes_from, leaving, latest)
        if found is not None:
            return found
    if device is None or leaving is None or not validating((device,), agent_version(latest)):
        return None
    changed = reconfigured(leaving, latest)
    if not changed:
        return None
    return Obstacle(
        "agent-too-old",
        f"the deployment of {group} would fail on {device.name}: it changes the configuration of "
        f"{', '.join(changed)} beside that of an agent that has its own validated; {cure} with a newer "
        "version of the agent first",
    )


def _left_behind(comes_from: str, leaving: Components, latest: Components) -> Obstacle | None:
    """Return why the nucleus that the old group gave the device would keep that group's applications."""
    too_old = nucleus_before_time_source(leaving)
    keeps = f"the device would keep the applications of {comes_from}:"
    if too_old is not None:
        return Obstacle(
            "group-needs-deployment",
            f"{keeps} its nucleus {too_old} merges by the time at which a deployment was created: deploy "
            f"nucleus {TIME_SOURCE_SINCE} or newer to {comes_from} first",
        )
    if NUCLEUS not in latest and lacks_time_source(leaving):
        return Obstacle(
            "group-needs-deployment",
            f"{keeps} its nucleus merges by the time at which a deployment was created, and this group's "
            f"does not change that: `python -m cloud upgrade-agent --group {comes_from}` first",
        )
    return None


def _keeps(group: str) -> str:
    return (
        f"the latest deployment of {group} is merged by the time of its creation, so the device could keep "
        "the applications of the group that it comes from;"
    )
