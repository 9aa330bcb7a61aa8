"""A device into a group, out of it, or from one to another: the row first, then the registry.

The row is what two callers race for, so a device never belongs to two groups. Whoever dies between the
row and the registry leaves the device unsettled, and the next caller or sweep finishes it. Knows no HTTP.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

from cloud.aws.errors import CloudError
from cloud.tables.memberships import Membership

log = logging.getLogger(__name__)

_SETTLED_AT_ONCE = 50


class StoresMemberships(Protocol):
    """The port to the table; ``cloud.tables.memberships.Memberships`` in AWS."""

    def get(self, device: str) -> Membership | None: ...
    def move(self, before: Membership, group: str | None) -> bool: ...
    def settle(self, membership: Membership) -> bool: ...
    def unsettled(self, at_most: int) -> list[str]: ...


class KeepsGroups(Protocol):
    """The port to the registry; ``cloud.aws.iot_registry.Registry`` in AWS."""

    def add(self, thing: str, group: str) -> None: ...
    def remove(self, thing: str, group: str) -> None: ...


class NotEnrolled(Exception):
    """There is no such device."""

    code = "device-not-found"


class MovedMeanwhile(Exception):
    """Somebody else moved the device at the same moment."""

    code = "membership-conflict"


@dataclass(frozen=True, slots=True)
class Mover:
    """Raises ``cloud.aws.errors`` where a service does not answer; what was begun is finished later."""

    memberships: StoresMemberships
    registry: KeepsGroups

    def settled(self, device: str) -> Membership:
        """Return where ``device`` belongs, with the registry brought to it.

        Raises:
            NotEnrolled: there is no such device.
        """
        found = self.memberships.get(device)
        if found is None:
            raise NotEnrolled(device)
        return self._settle(found) if found.moving else found

    def move(self, before: Membership, group: str | None) -> Membership:
        """Have the device belong to ``group``, and bring the registry to it.

        Raises:
            MovedMeanwhile: it is not as ``before`` says any more; nothing was changed.
        """
        if before.group == group:
            return before
        if not self.memberships.move(before, group):
            raise MovedMeanwhile(before.device)
        log.info("device moved: device=%s from=%s to=%s", before.device, before.group, group)
        return self._settle(Membership(before.device, group, moving=True, leaving=before.group))

    def settle_all(self) -> int:
        """Finish what was left half done; return how many devices. One that fails stops no other."""
        done = 0
        for device in self.memberships.unsettled(_SETTLED_AT_ONCE):
            try:
                self.settled(device)
                done += 1
            except (CloudError, NotEnrolled) as error:
                log.warning("device stays unsettled: device=%s code=%s", device, error.code)
        return done

    def _settle(self, membership: Membership) -> Membership:
        """Out of the old group first: a device in two would be deployed to by both."""
        if membership.leaving is not None:
            self.registry.remove(membership.device, membership.leaving)
        if membership.group is not None:
            self.registry.add(membership.device, membership.group)
        self.memberships.settle(membership)
        return Membership(membership.device, membership.group)
