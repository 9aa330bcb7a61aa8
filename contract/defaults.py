"""Constants that both sides agree on, each with its unit in the name and its reason beside it."""

#: The agent's feature level, in its hello and reports. 0 (never sent): the first release, which validates
#: configurations. 1: takes acknowledgements of results, validates nothing, reports what it refused.
LEVEL = 1

HEARTBEAT_S = 60.0  # a report at least this often, jittered by HEARTBEAT_JITTER
HEARTBEAT_JITTER = 0.2  # ± share of the interval, so that a fleet does not report in step
STALE_AFTER_INTERVALS = 3  # connected but silent this long: the agent is dead or wedged
OFFLINE_DEBOUNCE_S = 30.0  # a nucleus that restarts is not an outage

FLAP_WINDOW_S = 3600.0  # disconnects are counted over this
HISTORY_S = 24 * 3600.0  # a device's key figures are kept this long,
HISTORY_POINT_S = 300.0  # one point of each of these spans

COMMAND_EXPIRY_S = 15 * 60.0  # the latest start of a command
COMMAND_EXPIRY_WHEN_ONLINE_S = 24 * 3600.0  # of one that waits for the device to come back
COMMAND_EXPIRY_MAX_S = 7 * 24 * 3600.0  # the classic nucleus replays a session of up to 7 days
COMMAND_MEMORY_AFTER_EXPIRY_S = 3600.0  # the broker redelivers an unacknowledged message for an hour
COMMAND_MEMORY_IDS = 1_000  # ids remembered on the device; when full, new ones are refused
INFER_EXPIRED_AFTER_S = 5 * 60.0  # the cloud infers EXPIRED this long after expires_at
INFER_NO_PROOF_AFTER_S = 15 * 60.0  # and FAILED: no-proof this long after IN_PROGRESS
#: An unacknowledged result is sent again after each of these, and with each hello, ACK_HELLOS times.
ACK_WAITS_S = (60.0, 120.0, 240.0, 480.0, 960.0)
ACK_HELLOS = 5
REBOOT_STOP_S = 30.0  # all applications together may take this long to stop before a reboot
REBOOT_GRACE_S = 120.0  # a machine still up this long after the reboot call did not reboot
REBOOT_BUDGET = 3  # reboots by command per REBOOT_BUDGET_WINDOW_S
REBOOT_BUDGET_WINDOW_S = 3600.0
HELD_COMMANDS = 64  # commands held while this boot has no server time
HELD_COMMANDS_S = 60.0

HEALTHY_WINDOW_S = 30.0  # a new container must become healthy within this
STOP_GRACE_S = 10.0  # between SIGTERM and SIGKILL
HEALTH_INTERVAL_S = 5.0
HEALTH_TIMEOUT_S = 2.0
LOG_MAX_SIZE_MIB = 10  # per file; an application's log takes LOG_MAX_FILES of these and no more
LOG_MAX_FILES = 3
PULL_BACKOFF_FIRST_S = 5.0
PULL_BACKOFF_MAX_S = 600.0
CREDENTIALS_BACKOFF_MAX_S = 60.0  # token exchange keeps an error for minutes as it is; then no more is lost
DISK_FLOOR_BYTES = 1 << 30  # or DISK_FLOOR_SHARE of the disk, whichever is more: a full disk kills the agent
DISK_FLOOR_SHARE = 0.05

DEPLOYMENT_TIMEOUT_MIN = 30
COMPONENT_UPDATE_S = 60.0  # how long the nucleus waits for "this is a bad moment" before it begins
#: How long it waits for the verdict of an agent of level 0, which answers in half of it; from level 1 on no
#: agent validates, and nothing is waited for.
CONFIGURATION_VALIDATION_S = 60.0
SUBMITTING_STALE_S = 60.0  # a deployment still SUBMITTING after this is finished by sweep or the next POST

# Sizes. Nucleus Lite closes the whole IPC connection over 10,012 bytes and drops inbound MQTT over
# about 5,000 bytes silently; these leave room for base64 and framing.
COMMAND_MAX_BYTES = 4_500
LOG_LINES_MAX = 500  # of one answer, as many of them as LOG_BYTES hold
LOG_BUNDLE_BYTES = 5 << 20  # of a bundle of logs, compressed
LOG_BYTES = 5_500  # of a result's 7,000
REPORT_MAX_BYTES = 7_000
DESIRED_DOCUMENT_MAX_BYTES = 256 * 1024
APPLICATIONS_MAX = 64
LAST_LINES = 20  # of its output that a report tells of an application that failed
WINDOWS_MAX = 16
