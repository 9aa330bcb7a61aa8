"""Constants that both sides agree on, each with its unit in the name and its reason beside it."""

#: The agent's feature level, in its hello and reports. 0 (never sent): the first release, which validates
#: configurations. 1: takes acknowledgements of results, validates nothing, reports what it refused.
LEVEL = 1

COMMAND_EXPIRY_MAX_S = 7 * 24 * 3600.0  # the classic nucleus replays a session of up to 7 days

HEALTHY_WINDOW_S = 30.0  # a new container must become healthy within this
STOP_GRACE_S = 10.0  # between SIGTERM and SIGKILL
HEALTH_INTERVAL_S = 5.0
HEALTH_TIMEOUT_S = 2.0
LOG_MAX_SIZE_MIB = 10  # per file; an application's log takes LOG_MAX_FILES of these and no more
LOG_MAX_FILES = 3

# Sizes. Nucleus Lite closes the whole IPC connection over 10,012 bytes and drops inbound MQTT over
# about 5,000 bytes silently; these leave room for base64 and framing.
COMMAND_MAX_BYTES = 4_500
LOG_LINES_MAX = 500  # of one answer, as many of them as LOG_BYTES hold
LOG_BUNDLE_BYTES = 5 << 20  # of a bundle of logs, compressed
REPORT_MAX_BYTES = 7_000
DESIRED_DOCUMENT_MAX_BYTES = 256 * 1024
APPLICATIONS_MAX = 64
LAST_LINES = 20  # of its output that a report tells of an application that failed
WINDOWS_MAX = 16
