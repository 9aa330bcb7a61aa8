"""Agents that still validate configurations (level 0), and the deployments that fail on them. Pure.

A classic nucleus asks such an agent (level 0, see ``contract.defaults.LEVEL``) to validate a deployment that
changes its configuration and not its version. It then waits for an answer from every other component whose
configuration the deployment changes too, the nucleus' own included. After a minute the deployment fails on
that device, although the agent accepted it. With another version of the agent no component is asked.
"""

from collections.abc import Collection, Iterable

from cloud.domain.deployments.greengrass_components import (
    TIME_SOURCE_SINCE,
    Components,
    agent_version,
    lacks_time_source,
    nucleus_before_time_source,
    reconfigured,
)
from cloud.domain.devices.device import Device

_NAMED_AT_MOST = 5


def validating(devices: Iterable[Device], version: str | None) -> list[str]:
    """Return which of ``devices`` are asked about a deployment of the agent at ``version``.

    By what they said last. One that never said anything has no agent yet, and is not asked.
    """
    return [
        device.name
        for device in devices
        if device.level == 0 and device.agent_version is not None and device.agent_version == version
    ]


def warnings_of(
    latest: Components, ours: Components | None, devices: Collection[Device], *, group: str
) -> tuple[str, ...]:
    """Return the warnings about a deployment on top of ``latest``, the group's newest, whoever made it.

    ``ours`` is the newest that we made there; None where that is the same one, or there is none.
    """
    asked = validating(devices, agent_version(latest))
    cure = f"`python -m cloud upgrade-agent --group {group}`"
    warnings = []
    if asked and lacks_time_source(latest):
        warnings.append(
            "the nucleus of the group merges values by the time of a deployment's creation, which lets "
            f"devices that move keep old ones; that is not changed now, because {few(asked)} would fail it "
            f"with the agent that they have: {cure} changes both at once"
        )
    too_old = nucleus_before_time_source(latest)
    if too_old is not None:
        warnings.append(
            f"the group's nucleus {too_old} merges values by the time of a deployment's creation whatever it "
            "is told, which lets devices that move keep old ones: deploy nucleus "
            f"{TIME_SOURCE_SINCE} or newer"
        )
    others = () if ours is None or not asked else reconfigured(ours, latest)
    if others:
        warnings.append(
            f"{', '.join(others)} was configured by others since: of {few(asked)}, those that have not taken "
            f"that yet will fail this deployment with the agent that they have; {cure} gives them another"
        )
    return tuple(warnings)


def few(names: Collection[str]) -> str:
    """Return ``names`` in a sentence, the first ones and how many more."""
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(list(names)[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
