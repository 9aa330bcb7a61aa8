"""Index keys of a device row: the keys of the indexes that the device lists are read from. Pure.

``standing`` is the connection status, spread over ``SHARDS`` partitions of the index, so that a fleet whose
devices all have one status is no hot partition. No key changes with a heartbeat.
"""

import re
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from cloud.domain.devices.device import Device
from cloud.domain.devices.presence import State

SHARDS = 4
ConnectionStatus = Literal["connected", "disconnected", "never"]
#: Within the debounce a device that is disconnected is still what it was.
_STATUSES: Mapping[State | None, tuple[ConnectionStatus, ...]] = {
    "online": ("connected", "disconnected"),
    "stale": ("connected", "disconnected"),
    "offline": ("disconnected",),
    "unknown": ("never",),
    None: ("connected", "disconnected", "never"),
}
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})\Z")


def folded(name: str) -> str:
    """Return the key by which ``name`` is found whatever its case; "#", in no name, sorts before them all."""
    return f"{name.lower()}#{name}"


def partition(standing: ConnectionStatus, device: str) -> str:
    """Return the partition of the indexes by connection status that a device is in."""
    return f"{standing}#{zlib.crc32(device.encode()) % SHARDS}"


def partitions(state: State | None) -> tuple[str, ...]:
    """Return every partition that may hold a device in ``state`` (None: in any)."""
    return tuple(f"{standing}#{shard}" for standing in _STATUSES[state] for shard in range(SHARDS))


def connection_status(device: Device) -> tuple[ConnectionStatus, datetime]:
    """Return the connection status and its start; a message without presence shows a connection."""
    if device.offline_since is not None:
        return "disconnected", device.offline_since
    since = device.connected_since or device.reporting_since
    return ("never", device.enrolled_at) if since is None else ("connected", since)


def application_key(name: str) -> str:
    """Return the index key of the devices that have the application."""
    return f"application#{name}"


def image_key(digest: str) -> str:
    """Return the index key of the devices that run, or last ran, an image of this digest."""
    return f"image#{digest}"


def digests(device: Device) -> frozenset[str]:
    """Return the digests of its applications' images."""
    found = (_DIGEST.search(status.get("image") or "") for status in device.applications.values())
    return frozenset(each[1] for each in found if each is not None)


def index_keys(device: Device) -> frozenset[str]:
    """Return the device's keys of which it may have several: its applications and image digests."""
    return frozenset(map(application_key, device.applications)) | frozenset(map(image_key, digests(device)))


def index_row(key: str, device: str) -> dict[str, Any]:
    """Return the row that finds ``device`` by ``key``; its own key is no thing's name."""
    return {"device": f"in#{key}#{device}", "filed_under": key, "filed": device}
