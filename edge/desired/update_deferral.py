"""Update deferral: has the classic nucleus wait while a container is between old and new.

Answered on the link's own thread from one flag that the loop sets, so that a loop that waits for the engine
does not delay the answer. A deployment that gets no answer begins after the nucleus' own timeout.
"""

import logging

from edge.ports.clock import Clock

ASK_AGAIN_S = 5.0  # a replacement's critical part takes seconds
#: A replacement that stays in its critical part is broken, and an update may be what mends it.
PUT_OFF_MAX_S = 600.0
PUT_OFF_KEPT = 16

log = logging.getLogger(__name__)


class UpdateDeferral:
    """The answers to update notifications. The loop sets ``critical``; one thread of the link asks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Whether some application is between "old stopped" and "new running".
        self.critical = False
        self._put_off: dict[str, float] = {}  # deployment → since when

    def recheck_after_s(self, deployment_id: str) -> float:
        """Return after how long to ask again; 0 lets the update go on now, and forgets it. Never waits."""
        now_s = self._clock.monotonic()
        since_s = self._put_off.setdefault(deployment_id, now_s)
        while len(self._put_off) > PUT_OFF_KEPT:
            del self._put_off[next(iter(self._put_off))]
        wait_s = ASK_AGAIN_S if self.critical and now_s - since_s < PUT_OFF_MAX_S else 0.0
        if wait_s == 0.0:
            self._put_off.pop(deployment_id, None)
        log.info("update announced: deployment=%s wait_s=%.0f", deployment_id, wait_s)
        return wait_s
