"""What may arrive: the golden messages with something wrong in them, and what is no message at all."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

GOLDEN = {
    path.stem: json.loads(path.read_bytes())
    for path in sorted((Path(__file__).parents[1] / "contract" / "golden" / "v1").glob("*.json"))
}
_HUGE = "@huge@"  # becomes a number with more digits than Python turns into an int
ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            None, True, -1, 0, 1 << 63, 10**400, -(10**40), 1e308, 1e-308, float("nan"), float("inf"), _HUGE,
            "", "\0", "\ud800", "\U0001f600", "x" * 300, "x" * 5_000, "../..", "{", "null", "[]", "'; --",
            "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-22T12:00:00", "PT1S", "-1",
            "cmd-00000000000000000000000000", "reboot", "time", "s3://bucket/desired/.json", [], {}, [[]],
            [{}], {"": None}, {"__class__": "x"}, ["x"] * 600, {"v": {"v": {"v": []}}},
        ]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
)  # fmt: skip


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where something is inside ``value``, itself included."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, element in below for path in _paths(element, (*at, key)))]


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _changed(value[path[0]], path[1:], new)
    return copy


@st.composite
def odd_objects(draw: st.DrawFn, golden: Any = None) -> Any:
    """A golden message in which up to three values are something else, gone, or too many."""
    value = draw(st.sampled_from(list(GOLDEN.values()))) if golden is None else golden
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(_paths(value)))
        match draw(st.sampled_from(["odd", "odd", "gone", "more"])):
            case "gone" if path and isinstance(path[-1], str):
                parent = _at(value, path[:-1])
                value = _changed(value, path[:-1], {k: v for k, v in parent.items() if k != path[-1]})
            case "more" if isinstance(_at(value, path), dict):
                value = _changed(value, path, {**_at(value, path), draw(st.text(max_size=8)): draw(ODD)})
            case _:
                value = _changed(value, path, draw(ODD))
    return value


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def to_text(value: Any) -> str:
    """Return JSON, or what comes near it: NaN, lone surrogates, numbers of 5,000 digits."""
    return json.dumps(value).replace(json.dumps(_HUGE), "9" * 5_000)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Bytes as a topic may bring them."""
    text = to_text(draw(odd_objects()))
    match draw(st.integers(0, 9)):
        case 0:
            return draw(st.binary(max_size=64))
        case 1:
            return text.encode()[: draw(st.integers(0, len(text)))]
        case 2:  # a name twice
            return text.replace("{", '{"v": 1, "id": 7, "state": 2, "event": null, ', 1).encode()
        case 3:
            depth = draw(st.sampled_from([10, 200, 2_000]))
            return (
                (b"[" * depth + b"]" * depth)
                if draw(st.booleans())
                else b'{"v":' * depth + b"1" + b"}" * depth
            )
        case 4:
            return text.encode("utf-16" if draw(st.booleans()) else "utf-8-sig")
        case 5:
            return b" " * draw(st.sampled_from([1, 4_400, 20_000])) + text.encode()
        case 6:
            return text.encode() + draw(st.binary(min_size=1, max_size=4))
        case 7:
            return to_text(draw(ODD)).encode()
        case _:
            return text.encode()
