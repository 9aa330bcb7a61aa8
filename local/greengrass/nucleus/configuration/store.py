"""The nucleus' configuration store: a tree per component whose leaves carry the time they were written.

A write with an older timestamp than the leaf's loses; an equal value raises no event; maps merge and all
else is replaced whole. What ranks below what is only a matter of timestamps: recipe defaults are the oldest;
the initial configuration has its file's time, a deployment that of its creation, an update its own.

Errors::

    ConfigurationError
    ├── KeyNotFound          nothing is stored there
    ├── UpdateRefused        a scalar cannot become a map nor a map a scalar, or a value is too large
    └── OlderThanStored      classic only: one leaf, and what is stored is newer
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

from local.greengrass.nucleus.dialect import Dialect
from local.greengrass.nucleus.files import write_whole

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
KeyPath = tuple[str, ...]
Changed = Callable[[str, KeyPath], None]

DEFAULTS_AT_MS: Final = 1
INITIAL_AT_MS: Final = 2


class ConfigurationError(Exception):
    """The store does not do what was asked."""

    code = "configuration"


class KeyNotFound(ConfigurationError):
    """Nothing is stored under that key."""

    code = "key-not-found"


class UpdateRefused(ConfigurationError):
    """The value cannot go there; nothing was written."""

    code = "update-refused"


class OlderThanStored(ConfigurationError):
    """The one leaf that would be written was changed later than the given time; nothing was written."""

    code = "older-than-stored"


@dataclass(slots=True)
class _Leaf:
    value: Json
    at_ms: int


@dataclass(slots=True)
class _Map:
    children: dict[str, "_Map | _Leaf"] = field(default_factory=dict)


_Node = _Map | _Leaf


class Configuration:
    """All components' configuration; safe from any thread. The writing thread calls the watchers."""

    def __init__(self, dialect: Dialect, path: Path | None = None) -> None:
        """Read what ``path`` holds; None keeps the store in memory."""
        self._dialect = dialect
        self._path = path
        self._lock = threading.RLock()
        self._watchers: dict[object, tuple[str, KeyPath, Changed]] = {}
        self._root = _Map()
        if path is not None and path.exists():
            node = _load(json.loads(path.read_bytes()))
            if isinstance(node, _Map):
                self._root = node

    @classmethod
    def of(cls, dialect: Dialect, components: Mapping[str, Mapping[str, Json]]) -> Self:
        """Return a store in memory that holds ``components``, each value older than any update."""
        store = cls(dialect)
        store._root = _Map({name: _nodes(dict(values), INITIAL_AT_MS) for name, values in components.items()})
        return store

    def components(self) -> tuple[str, ...]:
        """Return the names under which anything is stored."""
        with self._lock:
            return tuple(self._root.children)

    def get(self, component: str, key_path: Sequence[str] = ()) -> Json:
        """Return a copy of the value, maps in the order in which their keys came.

        Raises:
            KeyNotFound
        """
        with self._lock:
            return _plain(self._find(component, key_path))

    def merge(
        self,
        component: str,
        key_path: Sequence[str],
        value: Json,
        *,
        at_ms: int,
        conflicts: Literal["refuse", "replace", "keep", "fill"] = "refuse",
    ) -> None:
        """Merge ``value`` in, leaf by leaf, unless the stored leaf is newer; tell the watchers.

        ``conflicts`` says what a map does that meets a scalar, or a scalar a map; with ``fill`` it does
        nothing where anything is stored, however old.

        Raises:
            UpdateRefused: and nothing is written.
        """
        with self._lock:
            leaves = []
            for path, leaf in _leaves((component, *key_path), value):
                if (obstacle := self._obstacle(path, leaf)) is not None:
                    if conflicts == "refuse":
                        raise UpdateRefused("a map cannot become a scalar, nor a scalar a map")
                    if conflicts in ("keep", "fill"):
                        continue
                    self._drop(obstacle)
                if conflicts == "fill" and self._peek(path) is not None:
                    continue
                self._check(path, leaf)
                leaves.append((path, leaf))
            changed = [done for path, leaf in leaves for done in self._write(path, leaf, at_ms)]
            self._save()
        self._tell(changed)

    def update(self, component: str, key_path: Sequence[str], value: Json, *, at_ms: int) -> None:
        """As merge, but refused in classic where the one leaf stored is newer (Lite says yes and keeps it).

        Raises:
            UpdateRefused
            OlderThanStored
        """
        with self._lock:
            node = self._peek((component, *key_path))
            if self._dialect.kind == "classic" and isinstance(node, _Leaf) and node.at_ms > at_ms:
                raise OlderThanStored("Proposed timestamp is older than the stored one")
        self.merge(component, key_path, value, at_ms=at_ms)

    def reset(self, component: str, key_path: Sequence[str], default: Json, *, known: bool) -> None:
        """Remove what is stored there and put ``default`` back where the recipe has one (``known``).

        Lite restores nothing (the default returns with the component's next version) and is silent.
        """
        path = (component, *key_path)
        with self._lock:
            parent = self._peek(path[:-1]) if len(path) > 1 else self._root
            existed = isinstance(parent, _Map) and parent.children.pop(path[-1], None) is not None
            if known and self._dialect.event_on_reset:
                for leaf_path, leaf in _leaves(path, default):
                    self._write(leaf_path, leaf, DEFAULTS_AT_MS)
            self._save()
        if self._dialect.event_on_reset and (existed or known):
            self._tell([path])

    def snapshot(self) -> Json:
        """Return all that is stored, timestamps too, for ``restore``."""
        with self._lock:
            return _dump(self._root)

    def restore(self, snapshot: Json) -> None:
        """Put a snapshot back, as the rollback of a deployment does; tell the watchers what changed."""
        with self._lock:
            before = dict(_leaves((), _plain(self._root)))
            node = _load(snapshot) if isinstance(snapshot, dict) else _Map()
            self._root = node if isinstance(node, _Map) else _Map()
            after = dict(_leaves((), _plain(self._root)))
            self._save()
        absent = object()
        paths = sorted({*before, *after})
        self._tell([path for path in paths if path and before.get(path, absent) != after.get(path, absent)])

    def remove(self, component: str) -> None:
        """Forget all of a component that was uninstalled."""
        with self._lock:
            self._root.children.pop(component, None)
            self._save()

    def watch(self, component: str, key_path: Sequence[str], changed: Changed) -> Callable[[], None]:
        """Call ``changed(component, full key path)`` for each change at or below; return how to stop it.

        Raises:
            KeyNotFound
        """
        ticket = object()
        with self._lock:
            self._find(component, key_path)
            self._watchers[ticket] = (component, tuple(key_path), changed)

        def stop() -> None:
            with self._lock:
                self._watchers.pop(ticket, None)

        return stop

    def _find(self, component: str, key_path: Sequence[str]) -> _Node:
        node = self._peek((component, *key_path))
        if node is None:
            raise KeyNotFound("/".join((component, *key_path)))
        return node

    def _peek(self, path: KeyPath) -> _Node | None:
        node: _Node = self._root
        for key in path:
            if not isinstance(node, _Map) or key not in node.children:
                return None
            node = node.children[key]
        return node

    def _check(self, path: KeyPath, leaf: "Json | _Map") -> None:
        if len(path) == 1 and not isinstance(leaf, _Map):
            raise UpdateRefused("a component's configuration is a map")
        if not isinstance(leaf, _Map) and len(compact(leaf)) > self._dialect.value_bytes:
            raise UpdateRefused("the value is too large")

    def _obstacle(self, path: KeyPath, leaf: "Json | _Map") -> KeyPath | None:
        for end in range(1, len(path)):
            if isinstance(self._peek(path[:end]), _Leaf):
                return path[:end]
        stored = self._peek(path)
        return path if stored is not None and isinstance(stored, _Map) != isinstance(leaf, _Map) else None

    def _drop(self, path: KeyPath) -> None:
        parent = self._peek(path[:-1])
        if isinstance(parent, _Map):
            parent.children.pop(path[-1], None)

    def _write(self, path: KeyPath, leaf: "Json | _Map", at_ms: int) -> list[KeyPath]:
        node, changed = self._root, []
        maps = path if isinstance(leaf, _Map) else path[:-1]
        for depth, key in enumerate(maps, start=1):
            child = node.children.get(key)
            if not isinstance(child, _Map):
                child = node.children[key] = _Map()
                if self._dialect.events_for_new_maps and depth > 1:
                    changed.append(path[:depth])
            node = child
        if isinstance(leaf, _Map):
            return changed
        stored = node.children.get(path[-1])
        if isinstance(stored, _Leaf):
            if at_ms < stored.at_ms:
                return changed
            if _same(stored.value, leaf):
                stored.at_ms = at_ms
                return changed
        node.children[path[-1]] = _Leaf(leaf, at_ms)
        return [*changed, path]

    def _tell(self, changed: Sequence[KeyPath]) -> None:
        for component, *rest in changed:
            with self._lock:
                interested = [
                    call
                    for watched, prefix, call in self._watchers.values()
                    if watched == component and tuple(rest[: len(prefix)]) == prefix
                ]
            for call in interested:
                call(component, tuple(rest))

    def _save(self) -> None:
        if self._path is not None:
            write_whole(self._path, json.dumps(_dump(self._root)).encode())


def compact(value: Json) -> bytes:
    """Return ``value`` as JSON without blanks, text unescaped: the form whose bytes Lite counts."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _leaves(path: KeyPath, value: Json) -> Iterator[tuple[KeyPath, "Json | _Map"]]:
    """Yield each leaf of ``value`` in the order in which the nucleus writes: keys sorted; empty maps too."""
    if not isinstance(value, dict):
        yield path, value
    elif not value:
        yield path, _Map()
    else:
        for key in sorted(value):
            yield from _leaves((*path, key), value[key])


def _nodes(value: Json, at_ms: int) -> _Node:
    if isinstance(value, dict):
        return _Map({key: _nodes(item, at_ms) for key, item in value.items()})
    return _Leaf(value, at_ms)


def _same(one: Json, other: Json) -> bool:
    return type(one) is type(other) and one == other


def _plain(node: _Node) -> Json:
    if isinstance(node, _Leaf):
        return json.loads(json.dumps(node.value))  # type: ignore[no-any-return]
    return {key: _plain(child) for key, child in node.children.items()}


def _dump(node: _Node) -> Json:
    if isinstance(node, _Leaf):
        return {"value": node.value, "at_ms": node.at_ms}
    return {"children": {key: _dump(child) for key, child in node.children.items()}}


def _load(stored: Mapping[str, Json]) -> _Node:
    children = stored.get("children")
    if isinstance(children, dict):
        return _Map({key: _load(child) for key, child in children.items() if isinstance(child, dict)})
    at_ms = stored["at_ms"]
    return _Leaf(stored["value"], at_ms if isinstance(at_ms, int) else 0)
