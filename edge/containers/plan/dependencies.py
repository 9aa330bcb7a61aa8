"""Dependencies between the applications of one deployment. Pure.

All images are pulled before anything is stopped for them. An application starts after those that it depends
on, and not at all when one of them failed. An atomic deployment is confirmed by one write, or rolled back
whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contract.applications import Dependency
from edge.containers.plan.app_snapshot import AppSnapshot, ImageState, Wait
from edge.containers.plan.health import Condition, TrialPassed, condition, judge
from edge.containers.plan.snapshot import Snapshot

DEPENDENCY_FAILED = "dependency-failed"
DEPLOYMENT_FAILED = "deployment-failed"
DEPENDENCY_NOT_READY = "dependency-not-ready"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The applications of one deployment, and what each must wait for because of others."""

    views: Mapping[str, AppSnapshot]
    atomic: bool = False

    @property
    def pulls_pending(self) -> bool:
        """Whether an image of this revision is still being pulled: nothing may be stopped for it yet."""
        return any(self._lacks(view) for view in self.views.values())

    @property
    def failed(self) -> str | None:
        """The application that an atomic deployment fails with."""
        if not self.atomic:
            return None
        return next((name for name, view in self.views.items() if _has_failed(view)), None)

    @property
    def pending(self) -> bool:
        """Whether some wanted application has not proven itself yet."""
        return any(view.wanted is not None and not view.is_as_wanted for view in self.views.values())

    def failed_because(self, view: AppSnapshot) -> tuple[str, str] | None:
        """Return code and reason why the application must not go on, because of another."""
        if view.wanted is None or view.is_as_wanted:
            return None
        for each in view.wanted.depends_on:
            if each.application in self.views and _has_failed(self.views[each.application]):
                return DEPENDENCY_FAILED, f"{each.application} failed, which it depends on"
        if (failed := self.failed) is not None:
            return DEPLOYMENT_FAILED, f"{failed} failed, and all go back together"
        return None

    def waits(self, view: AppSnapshot) -> bool:
        """Whether something that the wanted one depends on is not ready for it."""
        return self._unready(view, as_wanted=True) is not None

    def waits_for_trial(self, view: AppSnapshot) -> bool:
        """Whether something that it needs healthy has yet to prove itself: end nothing that serves for it.

        If the agent died then, that one's trial would begin anew, and this one be down meanwhile. Those
        that are proven by one write have nothing to wait for.
        """
        if self.atomic or view.wanted is None:
            return False
        needed = (each.application for each in view.wanted.depends_on if each.condition == "healthy")
        return any(self.views[name].on_trial for name in needed if name in self.views)

    def not_ready_to_run(self, view: AppSnapshot) -> bool:
        """Whether something that it depends on does not run; in whichever version."""
        return self._unready(view, as_wanted=False) is not None

    def wait(self, view: AppSnapshot) -> Wait | None:
        """Return for which application this one waits just now, to be replaced or to be started."""
        current = view.pair.current
        runs = view.is_as_wanted and current is not None and (current.alive or current.is_done)
        if view.gave_up or view.refusal or runs:
            return None
        awaited = self._unready(view, as_wanted=not view.is_as_wanted)
        return None if awaited is None else Wait(DEPENDENCY_NOT_READY, f"waits for {awaited}")

    def passed_together(self) -> tuple[tuple[str, str], ...]:
        """Return who is on trial, once they and all others are good: ``(application, specification)``."""
        wanted = [view for view in self.views.values() if view.wanted is not None]
        if not all(view.is_as_wanted or _is_good(view) for view in wanted):
            return ()
        return tuple((view.application, view.spec) for view in wanted if not view.is_as_wanted)

    def _lacks(self, view: AppSnapshot) -> bool:
        if view.wanted is None or view.refusal or view.gave_up or view.is_in_place:
            return False
        if self.atomic:
            return view.image is not ImageState.HERE
        kills_first = view.wanted.update_strategy == "kill-then-download"
        return not view.held and not kills_first and view.image in (ImageState.NEEDED, ImageState.COMING)

    def _unready(self, view: AppSnapshot, *, as_wanted: bool) -> str | None:
        for each in view.wanted.depends_on if view.wanted else ():
            if not self._is_up(each, as_wanted=as_wanted):
                return each.application
        return None

    def _is_up(self, dependency: Dependency, *, as_wanted: bool) -> bool:
        view = self.views.get(dependency.application)
        current = view.pair.current if view else None
        if view is None or current is None or (as_wanted and current.spec != view.spec):
            return False
        if dependency.condition == "started":
            return current.alive or current.is_done
        if as_wanted and view.on_trial:
            return _is_good(view)
        return current.is_done or condition(current, view.history, on_trial=False) is Condition.HEALTHY


def dependencies_in(snapshot: Snapshot) -> Dependencies:
    """Return the dependencies between the applications of a snapshot."""
    return Dependencies({view.application: view for view in snapshot.applications}, snapshot.atomic)


def _has_failed(view: AppSnapshot) -> bool:
    return view.wanted is not None and (view.gave_up or view.refusal is not None)


def _is_good(view: AppSnapshot) -> bool:
    """Whether the wanted one is on trial, and would pass now."""
    current = view.pair.current
    on_trial = current is not None and view.on_trial and view.is_in_place and not view.gave_up
    return current is not None and on_trial and isinstance(judge(current, view.history), TrialPassed)
