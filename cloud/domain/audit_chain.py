"""The audit's hash chain: shows every entry that was changed, removed or inserted later. Pure.

The entries of one day (UTC) form a chain: each carries its sequence number, the hash of the entry before
it, and its own hash over both. To change an entry, every later one of the day and the day's head have to be
changed too, which shows against any copy of a hash that was kept elsewhere.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

CallOutcome = Literal["succeeded", "refused", "failed"]
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: What the first entry of a day has instead of an earlier one's hash.
NOTHING_BEFORE = "0" * 64


@dataclass(frozen=True, slots=True)
class Event:
    """The content of an audit entry: who did what to what, why, what it changed, and how it ended.

    ``before`` and ``after`` are the small facts that the operation changed (JSON types), empty where
    nothing was. ``code`` is a problem's code where the outcome is one.
    """

    at: datetime
    request_id: str
    caller: Mapping[str, object]  # subject, issuer, kind, application, roles, token_id
    operation: str
    target: Mapping[str, str]
    outcome: CallOutcome
    status: int
    code: str | None = None
    reason: str | None = None
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    source_ip: str | None = None

    @property
    def day(self) -> str:
        """The chain it belongs to: ``2026-11-22``, in UTC."""
        return self.at.astimezone(UTC).date().isoformat()

    def facts(self) -> dict[str, Any]:
        """Return what it says (JSON types), without what is empty."""
        said = {
            "at": self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "request_id": self.request_id,
            "caller": dict(self.caller),
            "operation": self.operation,
            "target": dict(self.target),
            "outcome": self.outcome,
            "status": self.status,
            "code": self.code,
            "reason": self.reason,
            "before": dict(self.before),
            "after": dict(self.after),
            "source_ip": self.source_ip,
        }
        return {name: value for name, value in said.items() if value not in (None, {}, "")}


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of a day: how many entries there are, and the last one's hash."""

    count: int = 0
    hash: str = NOTHING_BEFORE


NOTHING_YET = Head()


def link(event: Event, head: Head) -> dict[str, Any]:
    """Return the entry that follows ``head``, as JSON types."""
    place = {"v": 1, "day": event.day, "sequence": head.count + 1, "previous": head.hash}
    entry = place | event.facts()
    return entry | {"hash": hash_of(entry)}


def hash_of(entry: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of an entry's canonical JSON without its own ``hash``.

    Canonical is that names are sorted, and that a whole number has no fraction: DynamoDB keeps 4.0 as 4.
    """
    said = {name: _canonical(value) for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(
        json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


def _canonical(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {name: _canonical(each) for name, each in value.items()}
        case list() | tuple():
            return [_canonical(each) for each in value]
        case _:
            return value


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of verifying a day; ``broken_at`` is the first sequence that does not follow, and why."""

    entries: int
    head: str
    broken_at: int | None = None
    reason: str | None = None


def verify(
    entries: Iterable[Mapping[str, Any]], head: Head, *, after: Head = NOTHING_YET, at_most: int | None = None
) -> Verdict:
    """Return whether ``entries``, in order, are the whole and unchanged chain from ``after`` to ``head``.

    Where that is longer than ``at_most``, they are to be its next ``at_most``.
    """
    end = head.count if at_most is None else min(head.count, after.count + at_most)
    last = after
    for entry in entries:
        sequence = last.count + 1
        if entry.get("sequence") != sequence:
            return Verdict(last.count, last.hash, sequence, "an entry is missing")
        if entry.get("previous") != last.hash:
            return Verdict(last.count, last.hash, sequence, "it does not follow the entry before it")
        if entry.get("hash") != hash_of(entry):
            return Verdict(last.count, last.hash, sequence, "it was changed after it was written")
        last = Head(sequence, str(entry["hash"]))
    if last.count != end or (end == head.count and last != head):
        return Verdict(last.count, last.hash, last.count + 1, "the day's head names another last entry")
    return Verdict(last.count, last.hash)


def parse_day(text: str) -> date:
    """Return the day that ``text`` (``2026-11-22``) names.

    Raises:
        ValueError: it names none.
    """
    if not DAY.fullmatch(text):
        raise ValueError("must be a day, YYYY-MM-DD")
    return date.fromisoformat(text)
