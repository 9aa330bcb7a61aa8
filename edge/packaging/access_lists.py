"""accessControl lists of every recipe that was ever shipped, and what the next one may have. Pure.

A list that a device has once is never replaced (the classic nucleus keeps what is there over the defaults of
a new version) and never removed (both nuclei), and Nucleus Lite reads all lists of a component into 4,096
bytes or refuses everything. So a list never changes: its id is made from its content, another content is
another list, and all that were ever shipped are on file and stay small together.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SERVICE = "aws.greengrass.ipc.mqttproxy"
MAX_BYTES = 3_000  # of the 4,096 that Lite has
#: The lists of 0.1.0 are numbered. What devices have of them is pinned here, since their ids say nothing.
_NUMBERED = {
    "io.fleetgrass.Agent:mqttproxy:1": "82d13cdb",
    "io.fleetgrass.Agent:mqttproxy:2": "3e0a9f19",
}
# What a GgKV with its value, and an element of a list, take in Lite's memory on a 64-bit machine.
_PAIR_BYTES, _ELEMENT_BYTES = 21, 11


def id_of(component: str, content: Mapping[str, Any]) -> str:
    """Return the id of the list with that content."""
    return f"{component}:mqttproxy:{_digest(content)}"


def bytes_of(value: object) -> int:
    """Return how many bytes Lite needs for a list or for all: texts, and a cost for each pair and element."""
    if isinstance(value, Mapping):
        return sum(_PAIR_BYTES + len(key.encode()) + bytes_of(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(_ELEMENT_BYTES + bytes_of(item) for item in value)
    return len(value.encode()) if isinstance(value, str) else 0


def faults(access_control: Mapping[str, Any], shipped: Mapping[str, Any], component: str) -> list[str]:
    """Return what is wrong with a recipe's ``accessControl``, given all lists ever shipped by their ids."""
    found = [
        f"{name}: the list was altered; devices keep what they have, so make another of it"
        for name, content in shipped.items()
        if name.rpartition(":")[2] != _digest(content) and _NUMBERED.get(name) != _digest(content)
    ]
    found += [
        f"{name}: devices have this list, so it stays on file" for name in _NUMBERED if name not in shipped
    ]
    if list(access_control) != [SERVICE]:
        found.append(f"accessControl: lists of {SERVICE} only")
    for name, content in access_control.get(SERVICE, {}).items():
        if name != (right := id_of(component, content)):
            found.append(f"{name}: with this content the id is {right}")
        if shipped.get(name) != content:
            found.append(f"{name}: not on file as a list that is shipped")
        if len(content.get("operations", [])) != 1:
            found.append(f"{name}: one operation each")
        found += [
            f"{name}: {resource}: released Lite and a classic nucleus without the flag do not fill this in"
            for resource in content.get("resources", [])
            if "{" in resource
        ]
    together = {SERVICE: dict(shipped)}
    size = max(bytes_of(together), len(json.dumps(together, separators=(",", ":"))))
    if size >= MAX_BYTES:
        found.append(f"all lists ever shipped take {size} bytes; Lite has 4,096, so fewer than {MAX_BYTES}")
    return found


def _digest(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
