"""The device's own numbers, each with its unit in the name and its reason beside it."""

HEARTBEAT_S = 60.0  # a report at least this often, jittered by HEARTBEAT_JITTER
HEARTBEAT_JITTER = 0.2  # ± share of the interval, so that a fleet does not report in step

COMMAND_MEMORY_AFTER_EXPIRY_S = 3600.0  # the broker redelivers an unacknowledged message for an hour
COMMAND_MEMORY_IDS = 1_000  # ids remembered on the device; when full, new ones are refused
#: A result that nobody acknowledged is said again after each of these, and with each hello, ACK_HELLOS times.
ACK_WAITS_S = (60.0, 120.0, 240.0, 480.0, 960.0)
ACK_HELLOS = 5
REBOOT_STOP_S = 30.0  # all applications together may take this long to stop before a reboot
REBOOT_GRACE_S = 120.0  # a machine still up this long after the reboot call did not reboot
REBOOT_BUDGET = 3  # reboots by command per REBOOT_BUDGET_WINDOW_S
REBOOT_BUDGET_WINDOW_S = 3600.0
HELD_COMMANDS = 64  # commands held while this boot has no server time
HELD_COMMANDS_S = 60.0

RETRY_BACKOFF_FIRST_S = (
    5.0  # of a failed step: pull, create, start; and of fetching or examining the document
)
RETRY_BACKOFF_MAX_S = 600.0
CREDENTIALS_BACKOFF_MAX_S = 60.0  # token exchange keeps an error for minutes as it is; then no more is lost
DISK_FLOOR_BYTES = 1 << 30  # or DISK_FLOOR_SHARE of the disk, whichever is more: a full disk kills the agent
DISK_FLOOR_SHARE = 0.05

LOG_BYTES = 5_500  # of a result's 7,000
