"""Access control: whether a component's accessControl allows an operation on a resource. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from local.greengrass.nucleus.dialect import Dialect
from local.greengrass.nucleus.ipc.broker import matches

MQTT = "aws.greengrass.ipc.mqttproxy"
PUBSUB = "aws.greengrass.ipc.pubsub"
CLI = "aws.greengrass.Cli"

_PAIR_BYTES = 21  # a GgKV and a GgObject of a 64-bit machine: the costs that local messages have as well
_ELEMENT_BYTES = 11


def allows(
    access_control: object, service: str, operation: str, resource: str, *, dialect: Dialect, thing: str
) -> bool:
    """Tell whether some policy of ``service`` names the operation and a resource that covers this one."""
    policies = access_control.get(service) if isinstance(access_control, Mapping) else None
    if not isinstance(policies, Mapping) or bytes_of(policies) > dialect.access_control_bytes:
        return False
    return any(
        _names(policy, operation)
        and _covers(policy, resource, mqtt=service == MQTT, dialect=dialect, thing=thing)
        for policy in policies.values()
        if isinstance(policy, Mapping)
    )


def bytes_of(value: object) -> int:
    """Return how much memory Lite needs to read policies: its texts, and a cost for each element and pair.

    It reads all policies of one service into 4,096 bytes (``ggl_ipc_auth``); more is no policy at all.
    """
    match value:
        case str():
            return len(value.encode())
        case Mapping():
            return sum(_PAIR_BYTES + bytes_of(key) + bytes_of(item) for key, item in value.items())
        case list():
            return sum(_ELEMENT_BYTES + bytes_of(item) for item in value)
        case _:
            return 0


def _names(policy: Mapping[str, Any], operation: str) -> bool:
    return any(given in ("*", f"aws.greengrass#{operation}") for given in _texts(policy.get("operations")))


def _covers(policy: Mapping[str, Any], resource: str, *, mqtt: bool, dialect: Dialect, thing: str) -> bool:
    for pattern in _texts(policy.get("resources")):
        if dialect.interpolates_access_control:
            pattern = pattern.replace("{iot:thingName}", thing)
        if _glob(pattern).fullmatch(resource) or (mqtt and matches(pattern, resource)):
            return True
    return False


def _glob(pattern: str) -> re.Pattern[str]:
    """``*`` is any characters, ``${c}`` the character itself (developer guide, "Authorization")."""
    parts = re.split(r"(\$\{.\}|\*)", pattern)
    return re.compile(
        "".join(".*" if part == "*" else re.escape(_literal(part)) for part in parts), re.DOTALL
    )


def _literal(part: str) -> str:
    return part[2] if len(part) == 4 and part.startswith("${") else part


def _texts(value: object) -> Iterable[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
