"""IoT policy check: whether a certificate may call an operation of the Greengrass data plane. Pure.

There the IoT policies of the certificate decide. Resources are not looked at: the data plane knows none that
a policy variable could narrow.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any


def allows(policies: Iterable[Mapping[str, Any]], action: str) -> bool:
    """Return whether the policies together allow ``action``; a Deny wins."""
    effects = {
        statement.get("Effect")
        for policy in policies
        for statement in _list(policy.get("Statement"))
        if any(fnmatchcase(action.lower(), pattern.lower()) for pattern in _list(statement.get("Action")))
    }
    return effects == {"Allow"}


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
