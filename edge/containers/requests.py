"""What a person asks of one application, apart from what is desired of it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from edge.containers.steps import Restart
from edge.containers.view import View


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not done; ``code`` names the rule or the error."""

    code: str
    message: str


#: Called once, on the reconciler's thread: None when it was done.
Ended = Callable[[Refusal | None], None]


def restart(view: View, *, locked: bool) -> Restart | Refusal:
    """Return the step that starts an application's container again, or why not now. Pure."""
    current = view.pair.current
    if current is None:
        return Refusal("application-unknown", "this device has no container of that name")
    if view.busy or view.critical or view.pair.previous is not None:
        return Refusal("update-in-progress", "its container is being started, stopped or replaced")
    if view.held:
        return Refusal("not-now", "it waits for its next try, or this device is not managed")
    if locked:
        return Refusal("locked", "it holds its update lock; send it again, or with force")
    return Restart(view.application, current.id, ceil(current.supervision.stop_grace_s), "asked for")
