"""The cloud's own numbers, each with its unit in the name and its reason beside it."""

STALE_AFTER_INTERVALS = 3  # connected but silent this long: the agent is dead or wedged
OFFLINE_DEBOUNCE_S = 30.0  # a nucleus that restarts is not an outage; a stack goes by its OfflineDebounceS

FLAP_WINDOW_S = 3600.0  # disconnects are counted over this
HISTORY_S = 24 * 3600.0  # a device's key figures are kept this long,
HISTORY_POINT_S = 300.0  # one point of each of these spans

COMMAND_EXPIRY_S = 15 * 60.0  # the latest start of a command
COMMAND_EXPIRY_WHEN_ONLINE_S = 24 * 3600.0  # of one that waits for the device to come back
INFER_EXPIRED_AFTER_S = 5 * 60.0  # the cloud infers EXPIRED this long after expires_at
INFER_NO_PROOF_AFTER_S = 15 * 60.0  # and FAILED: no-proof this long after IN_PROGRESS

DEPLOYMENT_TIMEOUT_MIN = 30
COMPONENT_UPDATE_S = 60.0  # how long the nucleus waits for "this is a bad moment" before it begins
#: How long it waits for the verdict of an agent of level 0, which answers in half of it; from level 1 on no
#: agent validates, and nothing is waited for.
CONFIGURATION_VALIDATION_S = 60.0
SUBMITTING_STALE_S = 60.0  # SUBMITTING for longer, sweep finishes it; a stack goes by its SubmittingStaleS
