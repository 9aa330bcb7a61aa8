"""Examination of a desired document before it is followed: examined, refused, examined again.

A document is refused only if it is certain to fail. An internal error, or a registry that does not answer in
time, lets it pass; but not one that was refused before, because whether its cause is gone is unknown.
"""

import logging
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from contract.desired import DesiredDocument
from contract.reports import RefusedDocument
from edge.backoff import backoff_s
from edge.defaults import RETRY_BACKOFF_MAX_S
from edge.events import Examined
from edge.ports.clock import Clock
from edge.ports.state import State, StateUnwritable
from edge.preflight.verdict import PreflightRefusal, Verdict
from edge.storage.state_file import StateFile
from edge.text import clip

FILE = "refused.json"
ANSWER_S = 30.0  # two silent registries and their logins; convergence waits no longer than this
AGAIN_FIRST_S = 30.0  # then doubling: somebody frees a disk, pushes an image, opens a registry
MESSAGE_BYTES = 400

log = logging.getLogger(__name__)


class _Refused(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    document: RefusedDocument | None = None
    images: frozenset[str] = frozenset()


class Examination:
    """The document in question. Owned by the loop's thread; ``look_into`` answers later with ``Examined``.

    ``refused`` is on disk, so that a restart while registries are silent does not follow what was refused.
    """

    def __init__(
        self,
        *,
        state: State,
        clock: Clock,
        spread: Callable[[float], float],
        inspect: Callable[[int, DesiredDocument], None],
    ) -> None:
        self._file = StateFile(state, FILE, _Refused.model_validate_json)
        self._clock, self._spread, self._look_into = clock, spread, inspect
        self._sha256: str | None = None
        self._document: DesiredDocument | None = None
        self._number = 0
        self._answer_by_s: float | None = None
        self._again_at_s: float | None = None
        self._tries = 0
        self._refused = self._file.read() or _Refused()

    @property
    def refused(self) -> RefusedDocument | None:
        """The refusal of the document that is referred to."""
        found = self._refused.document
        return found if found is not None and found.sha256 == self._sha256 else None

    def refer(self, sha256: str | None) -> None:
        """Take the name of the document that will be in question; None when the one in force is wanted."""
        self._sha256, self._document = sha256, None
        self._answer_by_s = self._again_at_s = None
        self._tries = 0

    def begin(self, document: DesiredDocument) -> None:
        """Have the document that was referred to looked into."""
        self._document = document
        self._ask(document)

    def again(self) -> None:
        """Look into the document in question again now: something changed that its verdict may rest on."""
        if self._document is not None:
            self._again_at_s = self._clock.monotonic()

    def examined(self, answer: Examined) -> bool:
        """Take a verdict; return whether the document is to be followed from now on."""
        if answer.number != self._number or self._answer_by_s is None or self._document is None:
            return False  # of another document, or too late
        self._answer_by_s = None
        return self._judge(self._document, answer.verdict)

    def tick(self) -> bool:
        """Look again when it is due; return whether a document is to be followed without a verdict."""
        now_s, document = self._clock.monotonic(), self._document
        if document is None:
            return False
        if self._answer_by_s is not None and now_s >= self._answer_by_s:
            self._answer_by_s = None
            log.warning("document not looked into in time: deployment=%s", document.deployment_id)
            return self._judge(document, None)
        if self._again_at_s is not None and now_s >= self._again_at_s:
            self._ask(document)
        return False

    def next_due_s(self) -> float | None:
        """Return when ``tick`` has something to do without any event, on the monotonic clock."""
        return min((s for s in (self._answer_by_s, self._again_at_s) if s is not None), default=None)

    def _ask(self, document: DesiredDocument) -> None:
        self._number += 1
        self._answer_by_s, self._again_at_s = self._clock.monotonic() + ANSWER_S, None
        self._look_into(self._number, document)

    def _judge(self, document: DesiredDocument, verdict: Verdict | None) -> bool:
        if verdict is not None and verdict.refusal is not None:
            self._refuse(document, verdict.refusal)
            return False
        if self.refused is not None:
            if verdict is None or self._refused.images & verdict.unknown:
                self._look_again()
                return False
            log.info("refused document passes now: deployment=%s", document.deployment_id)
            self._keep(_Refused())
        self.refer(None)
        return True

    def _refuse(self, document: DesiredDocument, refusal: PreflightRefusal) -> None:
        assert self._sha256 is not None  # noqa: S101 - a document in question was referred to
        refused = RefusedDocument(
            sha256=self._sha256,
            deployment_id=document.deployment_id,
            revision=document.revision,
            code=refusal.code,
            message=clip(refusal.message, MESSAGE_BYTES),
        )
        if refused != self.refused:
            log.error(
                "desired document is refused: deployment=%s revision=%d code=%s message=%s",
                refused.deployment_id, refused.revision, refused.code, refused.message,
            )  # fmt: skip
        self._keep(_Refused(document=refused, images=refusal.images))
        if not refusal.lasting:
            self._look_again()

    def _look_again(self) -> None:
        self._tries += 1
        wait_s = self._spread(backoff_s(self._tries, AGAIN_FIRST_S, RETRY_BACKOFF_MAX_S))
        self._again_at_s = self._clock.monotonic() + wait_s
        log.info("refused document is looked into again: wait_s=%.0f", wait_s)

    def _keep(self, refused: _Refused) -> None:
        if refused == self._refused:
            return
        self._refused = refused
        try:
            self._file.write(refused.model_dump_json().encode())
        except StateUnwritable as error:
            log.error("refusal is not on disk: error=%s", error)
