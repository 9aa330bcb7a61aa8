"""Convergence of all applications: whether there is more to wait for, and whether all is well. Pure."""

from collections.abc import Iterable

from contract.reports import ApplicationState
from edge.containers.plan.app_snapshot import AppSnapshot
from edge.containers.plan.status import state


def is_converged(views: Iterable[AppSnapshot]) -> bool:
    """Whether every wanted application is at its wanted specification and runs, or ended well for good."""
    return all(_is_well(view) for view in views if view.wanted is not None)


def is_pending(view: AppSnapshot) -> bool:
    """Whether an application is not where it will end up: missing, on trial, or about to be up again."""
    return is_deciding(view) or _comes_up(view)


def is_deciding(view: AppSnapshot) -> bool:
    """Whether looking again soon may show a change that no event announces."""
    current = view.pair.current
    return _unmet(view) or _undecided(view) or (_comes_up(view) and current is not None and current.alive)


def _is_well(view: AppSnapshot) -> bool:
    if not view.is_as_wanted or view.proven is None:
        return False
    if view.proven.is_done:
        return view.proven.container.exit_code == 0
    return state(view) is ApplicationState.RUNNING


def _comes_up(view: AppSnapshot) -> bool:
    return view.wanted is not None and state(view) is ApplicationState.STARTING


def _unmet(view: AppSnapshot) -> bool:
    """Whether what is wanted is not there, and was not given up either."""
    return view.wanted is not None and not (view.gave_up or view.refusal or view.is_in_place)


def _undecided(view: AppSnapshot) -> bool:
    """Whether time alone will bring a decision: a trial is on."""
    return view.on_trial and not view.gave_up
