"""Registration of a group's nucleus: taken from the first device that reports its own, then fixed.

Reports that change a device's row lead here; every device sends one in each span of the history. The
registry is asked once for each group and hour of a function's life, never for each report.
"""

import logging
from datetime import datetime, timedelta

from cloud.aws.errors import CloudError
from cloud.clock import Clock, utc_now
from cloud.domain.devices.device import Device
from cloud.ports.groups import Groups
from cloud.telemetry.logs import log_event

log = logging.getLogger(__name__)

#: A group that was deleted and made again is learnt of anew after this.
REMEMBERED = timedelta(hours=1)
REMEMBERED_AT_MOST = 10_000  # groups


class GroupNuclei:
    """The groups whose nucleus is fixed, as far as this process has asked."""

    def __init__(self, registry: Groups, clock: Clock = utc_now) -> None:
        self._registry = registry
        self._clock = clock
        self._fixed: dict[str, datetime] = {}

    def learn(self, device: Device) -> None:
        """Fix the nucleus of the device's group to the device's, where it is not known; never raises.

        Where the registry does not answer, the next report that changes anything asks again.
        """
        group, nucleus, now = device.group, device.nucleus, self._clock()
        if group is None or nucleus is None or now < self._fixed.get(group, now):
            return
        try:
            fixed = self._registry.fix_nucleus(group, nucleus)
        except CloudError as error:
            log_event(log, "nucleus not learnt", level=logging.WARNING, group=group, code=error.code)
            return
        if len(self._fixed) >= REMEMBERED_AT_MOST:
            self._fixed.clear()
        self._fixed[group] = now + REMEMBERED
        log_event(log, "nucleus of group", group=group, nucleus=fixed, device=device.name, has=nucleus)
