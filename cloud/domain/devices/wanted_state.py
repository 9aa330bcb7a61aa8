"""Wanted deployments: of each group on a page of devices, where the page needs to know it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from cloud.domain.deployments.deployment import Deployment, target_of, wanted_of
from cloud.domain.devices.device import Device


class FindsDeployments(Protocol):
    """The part of the deployments table that this needs."""

    def newest_first(self, target: str) -> Iterator[Deployment]: ...


def wanted_by_group(
    devices: Sequence[Device], deployments: FindsDeployments
) -> Mapping[str | None, Deployment | None]:
    """Return the wanted deployment of each group of ``devices`` of which a device is CONVERGED.

    One query for each such group.
    """
    groups = {d.group for d in devices if d.group is not None and d.desired.get("state") == "CONVERGED"}
    return {group: wanted_of(deployments.newest_first(target_of(group))) for group in sorted(groups)}
