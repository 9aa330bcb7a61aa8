"""The desired document in force: from the reference in the configuration to the last good one.

A document that cannot be fetched or understood, or that this device refuses, never changes what runs: the
last good one, which is on disk too, stays in force, and the status says what is wrong. On a device without
a last good one nothing is touched then.
"""

import hashlib
import logging
from collections.abc import Callable

from pydantic import ValidationError

from contract.desired import DesiredDocument
from contract.documents import parse_document_uri
from contract.reports import NO_CREDENTIALS, DesiredStatus
from contract.wire import complaint
from edge.backoff import backoff_s
from edge.defaults import CREDENTIALS_BACKOFF_MAX_S, RETRY_BACKOFF_MAX_S
from edge.desired.examination import Examination
from edge.events import Examined, Fetched
from edge.ports.clock import Clock
from edge.ports.state import State, StateUnwritable
from edge.reporting.since import Since
from edge.storage.state_file import StateFile
from edge.text import clip

FILE = "desired.json"
RETRY_FIRST_S = 2.0
#: The role may not list the bucket, so "denied" may mean "not there yet": complain after this many tries.
TRIES_BEFORE_COMPLAINT = 3
UNREADABLE = "desired-unreadable"
INVALID = "desired-invalid"
MESSAGE_BYTES = 400

log = logging.getLogger(__name__)


class Desired:
    """The desired document in force. Owned by the loop's thread.

    ``fetch`` answers later with ``Fetched``, and ``look_into`` with ``Examined``. A document that was taken
    before is not looked into again at a start.
    """

    def __init__(
        self,
        *,
        state: State,
        clock: Clock,
        fetch: Callable[[str], None],
        inspect: Callable[[int, DesiredDocument], None],
        spread: Callable[[float], float],
    ) -> None:
        self._file = StateFile(state, FILE, _parse)
        self._clock = clock
        self._fetch = fetch
        self._spread = spread
        self._managed = False
        self._uri: str | None = None
        self._wanted_sha256: str | None = None
        self._fetching: str | None = None
        self._tries = 0
        self._retry_at_s: float | None = None
        self._trouble: tuple[str, str] | None = None
        self._examination = Examination(state=state, clock=clock, spread=spread, inspect=inspect)
        self._content = b""  # of the document in question
        self._since = Since(clock)
        self._sha256 = ""
        self._document: DesiredDocument | None = None
        self._load()

    @property
    def document(self) -> DesiredDocument | None:
        """The document in force; None means: not managed (or nothing good was ever had), touch nothing."""
        return self._document if self._managed else None

    def refer(self, uri: str | None) -> None:
        """Take the reference as the configuration has it now; None means not managed."""
        self._managed = uri is not None
        if uri == self._uri:
            return
        self._uri, self._wanted_sha256 = uri, None
        self._tries, self._retry_at_s, self._trouble = 0, None, None
        self._examination.refer(None)
        if uri is None:
            log.info("desired state is not managed")
            return
        try:
            _, _, self._wanted_sha256 = parse_document_uri(uri)
        except ValueError as error:
            self._complain(INVALID, str(error))
            return
        if self._wanted_sha256 != self._sha256:
            self._examination.refer(self._wanted_sha256)
            self._retry_at_s = self._clock.monotonic()

    def tick(self) -> None:
        """Fetch when it is due, one fetch at a time; look into what was fetched, and take it."""
        if self._examination.tick():
            self._take()
        if self._uri is None or self._retry_at_s is None or self._fetching is not None:
            return
        if self._clock.monotonic() >= self._retry_at_s:
            self._retry_at_s = None
            self._fetching = self._uri
            self._fetch(self._uri)

    def fetched(self, answer: Fetched) -> None:
        """Take the end of a fetch; one for a reference that changed meanwhile changes nothing."""
        self._fetching = None
        if answer.uri != self._uri:
            return  # tick fetches the new one, which was due when it was referred to
        if answer.document is None:
            self._again(answer.code, answer.message)
        elif hashlib.sha256(answer.document).hexdigest() != self._wanted_sha256:
            self._again("hash-mismatch", "the document's bytes do not have the hash in its name")
        else:
            self._parse(answer.document)

    def examined(self, answer: Examined) -> None:
        """Take what was found out about a document."""
        if self._examination.examined(answer):
            self._take()

    def policy_changed(self) -> None:
        """Judge anew what was refused."""
        self._examination.again()

    def next_due_s(self) -> float | None:
        """Return when ``tick`` has something to do without any event, on the monotonic clock."""
        due = (self._retry_at_s if self._fetching is None else None, self._examination.next_due_s())
        return min((s for s in due if s is not None), default=None)

    def status(
        self, *, converged: bool, trouble: tuple[str, str] | None, remark: tuple[str, str] | None = None
    ) -> DesiredStatus:
        """Return what to report: whether the device is as desired, else what is in the way.

        ``trouble`` (code, text) is what keeps the containers from it; trouble with the document itself
        comes first. ``remark`` (the same) is told where there is no trouble, and is none. Texts may have
        any length.
        """
        if not self._managed:
            code, message = _clipped(remark)
            return DesiredStatus(state="NOT_MANAGED", code=code, message=message, since=self._since.of(code))
        refused = self._examination.refused
        found = (refused and (refused.code, refused.message)) or self._trouble or trouble
        code, message = _clipped(found or remark)
        pending = self._wanted_sha256 is not None and self._wanted_sha256 != self._sha256
        document = self._document
        return DesiredStatus(
            state="FAILED" if found else "CONVERGED" if converged and not pending else "CONVERGING",
            document_sha256=self._sha256 or None,
            wanted_sha256=self._wanted_sha256 if pending else None,
            target=document and document.target,
            revision=document and document.revision,
            deployment_id=document and document.deployment_id,
            code=code,
            message=message,
            since=self._since.of(code),
            refused=refused,
        )

    def _parse(self, content: bytes) -> None:
        self._tries, self._trouble = 0, None
        try:
            document = DesiredDocument.from_json(content)
        except ValidationError as error:
            self._complain(INVALID, complaint(error))
            return
        self._content = content
        self._examination.begin(document)

    def _take(self) -> None:
        content, self._content = self._content, b""
        document = DesiredDocument.from_json(content)
        try:
            self._file.write(content)
        except StateUnwritable as error:
            log.error("desired document is not on disk: error=%s", error)
        self._document, self._sha256 = document, hashlib.sha256(content).hexdigest()
        log.info(
            "desired document taken: target=%s revision=%d deployment=%s applications=%d",
            document.target, document.revision, document.deployment_id, len(document.applications),
        )  # fmt: skip

    def _again(self, code: str, message: str) -> None:
        most_s = CREDENTIALS_BACKOFF_MAX_S if code == NO_CREDENTIALS else RETRY_BACKOFF_MAX_S
        self._tries += 1
        wait_s = self._spread(backoff_s(self._tries, RETRY_FIRST_S, most_s))
        self._retry_at_s = self._clock.monotonic() + wait_s
        log.warning(
            "desired document cannot be fetched: code=%s tries=%d wait_s=%.1f", code, self._tries, wait_s
        )
        if self._tries < TRIES_BEFORE_COMPLAINT:
            return
        if code == NO_CREDENTIALS:
            self._complain(code, message)
        else:
            self._complain(UNREADABLE, f"{code}: {message}")

    def _complain(self, code: str, message: str) -> None:
        self._trouble = (code, clip(message, MESSAGE_BYTES))
        log.error("desired document is not usable: code=%s message=%s", *self._trouble)

    def _load(self) -> None:
        if (found := self._file.read()) is not None:
            self._document, self._sha256 = found


def _parse(content: bytes) -> tuple[DesiredDocument, str]:
    return DesiredDocument.from_json(content), hashlib.sha256(content).hexdigest()


def _clipped(said: tuple[str, str] | None) -> tuple[str, str] | tuple[None, None]:
    """Return a code and a text that the wire takes."""
    return (None, None) if said is None else (said[0], clip(said[1], MESSAGE_BYTES))
