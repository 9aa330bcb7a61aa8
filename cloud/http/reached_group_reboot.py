"""The group reboot that a request names: within the caller's scope, and existing."""

from cloud.domain.commands.group_reboot import GroupReboot
from cloud.http.gateway_events import Problem
from cloud.http.handler import Request
from cloud.tables.group_reboots import GroupReboots


def reached_group_reboot(request: Request, reboots: GroupReboots) -> GroupReboot:
    """Return the group reboot of the path.

    Raises:
        Problem: 403 ``group-not-allowed``, 404 ``group-reboot-not-found``.
    """
    group, reboot_id = request.path["group"], request.path["reboot"]
    request.require_group((group,))
    reboot = reboots.get(reboot_id)
    if reboot is None or reboot.group != group:
        raise Problem(404, "group-reboot-not-found", f"the group {group} has no reboot {reboot_id}")
    return reboot
