"""Wanted deployments: of each group on a page of devices, where the page needs to know it."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from cloud.domain.deployments.deployment import Deployment, target_of, wanted_of
from cloud.domain.devices.device import Device


def wanted_by_group(
    devices: Sequence[Device], newest_first: Callable[[str], Iterator[Deployment]]
) -> Mapping[str | None, Deployment | None]:
    """Return the wanted deployment of each group of ``devices`` of which a device is CONVERGED.

    One query for each such group.
    """
    groups = {d.group for d in devices if d.group is not None and d.desired.get("state") == "CONVERGED"}
    return {group: wanted_of(newest_first(target_of(group))) for group in sorted(groups)}
