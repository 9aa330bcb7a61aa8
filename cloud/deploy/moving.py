"""Whether a device that another group deployed to may come into a group. Pure.

Refused is what goes wrong for certain, or silently. A group that nothing was deployed to has nothing to
merge, so nobody asks, and Lite merges by no time. One whose deployment names no classic nucleus leaves it to
the device's own configuration, which enrolment's files have made right: it may come.
"""

from cloud.deploy.components import (
    TIME_SOURCE_SINCE,
    Components,
    agent_version,
    lacks_time_source,
    nucleus_before_time_source,
    reconfigured,
)
from cloud.deploy.nuclei import Obstacle
from cloud.deploy.validation import validating
from cloud.device import Device
from contract.names import Nucleus


def obstacle(
    group: str,
    latest: Components,
    *,
    nucleus: Nucleus | None,
    device: Device | None = None,
    leaving: Components | None = None,
) -> Obstacle | None:
    """Return why ``device`` may not come into ``group`` with that latest deployment; None when it may.

    ``leaving`` is the latest deployment of the group that it comes from, where that is known; ``nucleus`` is
    what the group is of. Whether the device's own fits is ``cloud.deploy.nuclei.mismatch``'s to say.
    """
    if nucleus is Nucleus.LITE:
        return None
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


def _keeps(group: str) -> str:
    return (
        f"the latest deployment of {group} is merged by the time of its creation, so the device could keep "
        "the applications of the group that it comes from;"
    )
