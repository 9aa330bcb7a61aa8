"""Answers to what the classic nucleus asks before a deployment, each in time.

"Is this a bad moment?" is answered at once. "Is this configuration good?" is looked into in the
background; what is not known in time is accepted, because slowness is no fault of the configuration.
"""

import logging
from collections.abc import Callable

from contract.defaults import CONFIGURATION_VALIDATION_S
from edge.clock import Clock
from edge.events import ConfigurationProposed, Judged
from edge.link import Link, LinkError
from edge.text import clip

#: Within half of what create-deployment gives, with room for the answer's own way.
ANSWER_S = 0.4 * CONFIGURATION_VALIDATION_S
ASK_AGAIN_S = 5.0  # a replacement's critical part takes seconds
#: A replacement that stays in its critical part is broken, and an update may be what mends it.
PUT_OFF_MAX_S = 600.0
PUT_OFF_KEPT = 16
REFUSAL_BYTES = 900  # the deployment's status shows 1,000 characters of its cause

log = logging.getLogger(__name__)


class Consulted:
    """The open questions. Owned by the loop's thread; ``examine`` answers later with ``Judged``."""

    def __init__(self, *, link: Link, clock: Clock, examine: Callable[[ConfigurationProposed], None]) -> None:
        self._link = link
        self._clock = clock
        self._examine = examine
        self._open: dict[str, float] = {}  # deployment → answer at the latest
        self._put_off: dict[str, float] = {}  # deployment → since when

    def announced(self, deployment_id: str, *, critical: bool) -> None:
        """Let the update go on, or put it off while a container is between old and new."""
        now_s = self._clock.monotonic()
        since_s = self._put_off.setdefault(deployment_id, now_s)
        while len(self._put_off) > PUT_OFF_KEPT:
            del self._put_off[next(iter(self._put_off))]
        wait_s = ASK_AGAIN_S if critical and now_s - since_s < PUT_OFF_MAX_S else 0.0
        log.info("update announced: deployment=%s wait_s=%.0f", deployment_id, wait_s)
        try:
            self._link.allow_update(deployment_id, after_s=wait_s)
        except LinkError as error:
            log.warning("update not answered: deployment=%s code=%s", deployment_id, error.code)

    def proposed(self, proposal: ConfigurationProposed) -> None:
        """Begin to look into a configuration."""
        self._open[proposal.deployment_id] = self._clock.monotonic() + ANSWER_S
        self._examine(proposal)

    def judged(self, found: Judged) -> None:
        """Pass a verdict on, unless its time is over."""
        if self._open.pop(found.deployment_id, None) is not None:
            self._answer(found.deployment_id, found.refusal)

    def tick(self) -> None:
        """Accept what could not be looked into in time."""
        now_s = self._clock.monotonic()
        for deployment_id in [each for each, due_s in self._open.items() if now_s >= due_s]:
            del self._open[deployment_id]
            log.warning("configuration accepted unseen, time is over: deployment=%s", deployment_id)
            self._answer(deployment_id, None)

    def next_due_s(self) -> float | None:
        """Return when ``tick`` has something to do without any news, on the monotonic clock."""
        return min(self._open.values(), default=None)

    def _answer(self, deployment_id: str, refusal: str | None) -> None:
        refusal = refusal and clip(refusal, REFUSAL_BYTES)
        log.info("configuration judged: deployment=%s refusal=%s", deployment_id, refusal)
        try:
            self._link.judge(deployment_id, refusal)
        except LinkError as error:
            log.warning("configuration verdict not taken: deployment=%s code=%s", deployment_id, error.code)
