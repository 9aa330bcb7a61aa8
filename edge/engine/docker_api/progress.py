"""Pull progress, from what the engine says of an image's layers. Pure.

The engine tells a layer's size only when it begins to fetch it, and unpacking is as long a part as
fetching on the disks of small machines: each counts for half of a layer. A layer that is there
already is no work and does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_FETCHED = ("Verifying Checksum", "Download complete")


@dataclass(slots=True)
class _Layer:
    size: int = 0  # 0: not known yet
    share: float = 0.0  # of its own work


@dataclass(slots=True)
class PullProgress:
    """Takes in the engine's events of one pull (``POST /images/create``)."""

    _layers: dict[str, _Layer] = field(default_factory=dict)
    _percent: int = 0

    def hear(self, event: Mapping[str, Any]) -> int:
        """Take an event and return the percentage: never less than before, and 100 only when all is done."""
        said, layer_id = event.get("status"), event.get("id")
        if said == "Pulling fs layer" or layer_id in self._layers:
            self._note(self._layers.setdefault(str(layer_id), _Layer()), str(said), event)
        self._percent = max(self._percent, self._whole())
        return self._percent

    def _note(self, layer: _Layer, said: str, event: Mapping[str, Any]) -> None:
        detail = event.get("progressDetail") or {}
        done, size = detail.get("current") or 0, detail.get("total") or 0
        part = min(done / size, 1.0) if size > 0 else 0.0
        if said == "Downloading":
            layer.size = max(layer.size, size)
            layer.share = max(layer.share, part / 2)
        elif said in _FETCHED:
            layer.share = max(layer.share, 0.5)
        elif said == "Extracting":
            layer.share = max(layer.share, 0.5 + part / 2)
        elif said == "Pull complete":
            layer.share = 1.0

    def _whole(self) -> int:
        known = [layer.size for layer in self._layers.values() if layer.size]
        typical = sum(known) / len(known) if known else 1.0
        weights = [(layer.size or typical, layer.share) for layer in self._layers.values()]
        all_of_it = sum(weight for weight, _ in weights)
        return int(100 * sum(weight * share for weight, share in weights) / all_of_it) if all_of_it else 0
