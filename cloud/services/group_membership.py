"""Group membership: moves a device into, out of or between groups; the row first, then the registry.

The row is written under a condition, so a device never belongs to two groups. The registry has no conditional
write: the caller that won the row is the only one to write to the registry until ``SETTLES_WITHIN`` has
passed, so that no late call undoes a newer move. A caller that dies before it has updated the registry leaves
the device unsettled, and after that time the next caller or sweep finishes the move. Knows no HTTP.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from cloud.aws.errors import CloudError, NotFound
from cloud.clock import Clock, utc_now
from cloud.ports.groups import Groups
from cloud.tables.memberships import Membership, Memberships
from cloud.telemetry.logs import log_event

log = logging.getLogger(__name__)

_SETTLED_AT_ONCE = 50
#: Longer than any function lives that moves devices: one that still runs is within it. A test holds the
#: template to that.
SETTLES_WITHIN = timedelta(seconds=60)


class NotEnrolled(Exception):
    """There is no such device."""

    code = "device-not-found"


class MovedMeanwhile(Exception):
    """Another caller moves the device at this moment, or just did."""

    code = "membership-conflict"


@dataclass(frozen=True, slots=True)
class GroupMembership:
    """Raises ``cloud.aws.errors`` where a service does not answer; what was begun is finished later."""

    memberships: Memberships
    registry: Groups
    clock: Clock = utc_now

    def settled(self, device: str) -> Membership:
        """Return where ``device`` belongs, with the registry brought to it.

        Raises:
            MovedMeanwhile: another caller is moving it.
            NotEnrolled: there is no such device.
        """
        found = self.memberships.get(device)
        if found is None:
            raise NotEnrolled(device)
        if found.settling_until is None:
            return found
        now = self.clock()
        taken = self.memberships.take_up(found, now + SETTLES_WITHIN) if found.settling_until <= now else None
        if taken is None:
            raise MovedMeanwhile(device)
        return self._settle(taken)

    def move(self, before: Membership, group: str | None) -> Membership:
        """Have the device belong to ``group``, and bring the registry to it.

        Raises:
            MovedMeanwhile: it is not as ``before`` says any more; nothing was changed.
        """
        if before.group == group:
            return before
        moving = self.memberships.move(before, group, self.clock() + SETTLES_WITHIN)
        if moving is None:
            raise MovedMeanwhile(before.device)
        log_event(log, "device moved", device=before.device, from_group=before.group, group=group)
        return self._settle(moving)

    def settle_all(self) -> int:
        """Finish what was left half done; return how many devices. One that fails stops no other."""
        done = 0
        for device in self.memberships.unsettled(self.clock(), _SETTLED_AT_ONCE):
            try:
                self.settled(device)
                done += 1
            except (CloudError, NotEnrolled, MovedMeanwhile) as error:
                log_event(
                    log, "device stays unsettled", level=logging.WARNING, device=device, code=error.code
                )
        return done

    def _settle(self, membership: Membership) -> Membership:
        """Out of the old group first: a device in two would be deployed to by both.

        A group that is no more has nothing to be brought to; the device can be moved on from there.
        """
        if membership.leaving is not None:
            self.registry.remove(membership.device, membership.leaving)
        if membership.group is not None:
            try:
                self.registry.add(membership.device, membership.group)
            except NotFound:
                log_event(
                    log, "no such thing or group", level=logging.ERROR,
                    device=membership.device, group=membership.group,
                )  # fmt: skip
        self.memberships.settle(membership)
        return Membership(membership.device, membership.group)
