"""Models of answers about the audit."""

from datetime import datetime
from typing import Any, Literal

from cloud.domain.audit_chain import CallOutcome
from cloud.openapi.models.answers import Answer, Cursor


class AuditEntry(Answer):
    """One call: who, what, why, what it changed, how it ended; chained to the one before it by its hash."""

    v: Literal[1]
    day: str
    sequence: int
    at: datetime
    request_id: str
    operation: str
    outcome: CallOutcome
    status: int
    previous: str
    hash: str
    caller: dict[str, Any] = {}
    target: dict[str, str] = {}
    code: str | None = None
    reason: str | None = None
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    source_ip: str | None = None


class AuditPage(Answer):
    """One day's entries, newest first."""

    day: str
    entries: list[AuditEntry]
    cursor: Cursor


class AuditVerdict(Answer):
    """Whether one day's entries are whole and unchanged, from its first to the last that was looked at."""

    day: str
    intact: bool
    entries: int
    head: str
    cursor: Cursor
    broken_at: int | None = None
    reason: str | None = None
