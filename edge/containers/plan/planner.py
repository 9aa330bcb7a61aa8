"""The planner: from a snapshot to the next steps, and why each application waits. Pure.

Decided per application; ``dependencies`` says what one must wait for because of others, and
``update_policy`` what for a lock or a window.

A plan holds only what can be done on what was seen. Looking again after it gives the next one, and
the last is empty; so a crash anywhere needs no journal. An application's containers go through::

    nothing ─ Pull, Try, Create ─▶ created ─ Start ─▶ on trial ─ Confirm ─▶ proven
    proven ─ Pull, SetAside, Try, Create ─▶ created + previous ─ Stop previous, Start ─▶ on trial + previous
    on trial + previous ─ Confirm, Remove previous ─▶ proven
    on trial + previous ─ GiveUp, Stop, Remove ─▶ previous ─ Start, BringBack ─▶ proven (the old one)

With kill-then-download, InspectImage, SetAside and Stop come before Pull. With hand-over the previous one is
stopped after Confirm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from edge.containers.model.observed import Observed
from edge.containers.model.trial import Failure
from edge.containers.plan.app_snapshot import AppSnapshot, ImageState, SecretsState, Wait
from edge.containers.plan.dependencies import Dependencies, dependencies_in
from edge.containers.plan.health import TrialFailed, TrialPassed, judge
from edge.containers.plan.restart_policy import is_ailing, is_due
from edge.containers.plan.snapshot import Snapshot
from edge.containers.plan.steps import (
    BringBack,
    Confirm,
    Create,
    FetchSecrets,
    Forget,
    GiveUp,
    InspectImage,
    Pull,
    Remove,
    Restart,
    SetAside,
    Start,
    Step,
    Stop,
    Try,
)
from edge.containers.plan.update_policy import withheld


@dataclass(frozen=True, slots=True)
class Plan:
    """The next steps, in order, and why each application that waits does.

    ``withheld`` are the steps that would be next, but for an update lock or a closed window.
    """

    steps: tuple[Step, ...] = ()
    waiting: Mapping[str, Wait] = field(default_factory=dict)  # by application
    withheld: tuple[Step, ...] = ()

    def __str__(self) -> str:
        """One line a step, ``pull web: wanted, and not known to be here``; then one for each that waits."""
        steps = [f"{type(step).__name__.lower()} {step.application}: {step.reason}" for step in self.steps]
        return "\n".join([*steps, *(f"{name} waits: {each}" for name, each in self.waiting.items())])


def plan(snapshot: Snapshot) -> Plan:
    """Return the next steps of every application; none when all is as wanted, or under way.

    What is not wanted any more goes first, to free ports and memory. Nothing running is stopped
    before the engine has every image of the revision that can be had.
    """
    dependencies = dependencies_in(snapshot)
    steps: list[Step] = []
    later: list[Step] = []
    waiting: dict[str, Wait] = {}
    for view in sorted(snapshot.applications, key=lambda view: view.wanted is not None):
        following = [] if view.busy else _steps(view, dependencies)
        kept_back, deferral = withheld(following, view, snapshot)
        steps += following[: len(following) - len(kept_back)]
        later += kept_back
        wait = view.retry or deferral or dependencies.wait(view)
        if wait is not None:
            waiting[view.application] = wait
    return Plan(tuple(steps), waiting, tuple(later))


def _steps(view: AppSnapshot, dependencies: Dependencies) -> list[Step]:
    if view.wanted is not None and not view.gave_up and not view.refusal:
        failed_because = dependencies.failed_because(view)
        if failed_because is not None:
            return [_give_up(view, *failed_because)]
    if view.held:
        return []
    if view.wanted is None:
        return _take_away(view, dependencies)
    if view.gave_up or view.refusal:
        return _keep_serving(view, dependencies)
    spec = view.spec
    current = view.pair.current
    if view.is_in_place:
        if current is not None and current.spec == spec:
            return _see_through(view, dependencies)
        return _clear_place(view, "the previous one is wanted again") or _bring_back(view)
    if (
        _kills_first(view)
        and not dependencies.pulls_pending
        and not dependencies.waits(view)
        and not dependencies.waits_for_trial(view)
    ):
        way = _make_way(view)
        if way and not view.preflight_passed and view.image is ImageState.NEEDED:
            look = InspectImage(view.application, view.wanted.image, "before anything is stopped for it")
            return [look, *_keep_serving(view, dependencies)]
        if way:
            return way
    if view.image is not ImageState.HERE or view.secrets is not SecretsState.HERE:
        fetches: list[Step] = []
        if view.image is ImageState.NEEDED:
            fetches.append(Pull(view.application, view.wanted.image, "wanted, and not known to be here"))
        if view.secrets is SecretsState.NEEDED:
            secrets = tuple(view.wanted.secrets)
            fetches.append(FetchSecrets(view.application, spec, secrets, "needed to create it"))
        if _kills_first(view) and view.pair.current is None:
            return fetches  # the previous one stays down meanwhile
        return fetches + _keep_serving(view, dependencies)
    return _replace(view, dependencies)


def _kills_first(view: AppSnapshot) -> bool:
    """Whether what runs ends before the image comes; it comes back while that cannot be had."""
    return (
        view.wanted is not None
        and view.wanted.update_strategy == "kill-then-download"
        and view.image in (ImageState.NEEDED, ImageState.COMING)
    )


def _make_way(view: AppSnapshot) -> list[Step]:
    previous = view.pair.previous
    if view.proven is not None:
        if previous is not None:
            return _end(view.application, previous, "the one in place has proven itself")
        return [SetAside(view.application, view.proven.id, "to be replaced")]
    if view.pair.current is None and previous is not None and previous.alive:
        return [_stop(view.application, previous, "to make room for the download")]
    return []


def _replace(view: AppSnapshot, dependencies: Dependencies) -> list[Step]:
    """Return the steps from whatever is in place to the wanted container, created and not started."""
    assert view.wanted is not None  # noqa: S101 - narrows for the type checker
    name, spec = view.application, view.spec
    if view.on_trial:
        return _clear_place(view, "another one is wanted, and it never proved itself")
    steps: list[Step] = []
    if view.proven is not None:
        if dependencies.pulls_pending or dependencies.waits(view):
            return _keep_serving(view, dependencies)
        if view.pair.previous is not None:
            return _end(name, view.pair.previous, "the one in place has proven itself")
        steps.append(SetAside(name, view.proven.id, "to be replaced"))
    return [
        *steps,
        Try(name, spec, "about to be created"),
        Create(
            name, view.wanted, spec, view.reference, "wanted" if not steps else "its specification changed"
        ),
    ]


def _see_through(view: AppSnapshot, dependencies: Dependencies) -> list[Step]:
    """Return the steps for a container in place that is the wanted one."""
    assert view.wanted is not None  # noqa: S101 - narrows for the type checker
    name, current, previous = view.application, view.pair.current, view.pair.previous
    assert current is not None  # noqa: S101 - narrows for the type checker
    if not view.on_trial:
        if previous is not None:
            return _end(name, previous, "the one in place has proven itself")
        return _keep_up(view, current, dependencies)
    match judge(current, view.history):
        case TrialPassed(reason=reason):
            return _confirm(view, dependencies, reason)
        case TrialFailed(code=code, reason=reason):
            return [_give_up(view, code, reason)]
        case _:
            pass
    if current.container.state == "dead":
        return [Remove(name, current.id, "the engine could not remove it before")]
    if current.container.state not in ("created", "exited"):
        return []
    was_stopped_for_it = previous is not None and not previous.alive  # so all that it needs was good then
    if dependencies.not_ready_to_run(view) if was_stopped_for_it else dependencies.waits(view):
        return []
    if previous is not None and previous.alive and not view.hands_over:
        return (
            []
            if dependencies.pulls_pending or dependencies.waits_for_trial(view)
            else [_stop(name, previous, "to be replaced")]
        )
    if current.container.state == "exited" and not is_due(current, view.history):
        return []
    return _start(view, current, current.container.state)


def _confirm(view: AppSnapshot, dependencies: Dependencies, reason: str) -> list[Step]:
    """Return the one write that ends the trial; of all at once, where they go together."""
    if not dependencies.atomic:
        return [Confirm(view.application, view.spec, reason)]
    passed = dependencies.passed_together()
    if not passed or passed[0][0] != view.application:
        return []
    return [Confirm(view.application, view.spec, reason, others=passed[1:])]


def _give_up(view: AppSnapshot, code: str, reason: str) -> GiveUp:
    assert view.wanted is not None  # noqa: S101 - narrows for the type checker
    working = view.pair.previous or view.proven
    failure = Failure(
        spec=view.spec,
        deployment_id=view.deployment_id,
        code=code,
        reason=reason,
        from_image=view.wanted.image,
        to_image=working.image if working else None,
        last_lines=view.history.last_lines if view.on_trial else (),
    )
    return GiveUp(view.application, failure, reason)


def _keep_serving(view: AppSnapshot, dependencies: Dependencies) -> list[Step]:
    """Return the steps that keep, or bring back, what works while the wanted one cannot be had."""
    name, current, previous = view.application, view.pair.current, view.pair.previous
    if current is None:
        return _bring_back(view)
    if view.proven is not None:
        if previous is not None:
            return _end(name, previous, "the one in place has proven itself")
        return _keep_up(view, view.proven, dependencies)
    if not view.is_failed:
        match judge(current, view.history):
            case TrialPassed(reason=reason):
                return [Confirm(name, current.spec, reason)]
            case TrialFailed():
                pass
            case _ if current.alive:
                return []
            case _:
                pass
    if previous is None:
        # Kept, stopped, for its logs, until something else is tried.
        return [_stop(name, current, "it failed")] if current.alive else []
    return _clear_place(view, "it failed")


def _take_away(view: AppSnapshot, dependencies: Dependencies) -> list[Step]:
    if dependencies.pulls_pending:
        return []
    if dependencies.failed is not None:
        return _keep_serving(view, dependencies)  # all go back together
    current = view.pair.current
    if dependencies.atomic and dependencies.pending and current is not None:
        return [_stop(view.application, current, "not wanted any more")] if current.alive else []
    containers = [each for each in (view.pair.current, view.pair.previous) if each is not None]
    if containers:
        return _end(view.application, containers[0], "not wanted any more")
    return [] if view.record.empty else [Forget(view.application, "not wanted any more")]


def _clear_place(view: AppSnapshot, reason: str) -> list[Step]:
    return [] if view.pair.current is None else _end(view.application, view.pair.current, reason)


def _bring_back(view: AppSnapshot) -> list[Step]:
    """Start before renaming: until it has its name again, it is certain after a crash that it must run."""
    previous = view.pair.previous
    if previous is None:
        return []
    if not previous.alive:
        return _start(view, previous, "it is the last one that worked")
    return [BringBack(view.application, previous.id, "it is the last one that worked")]


def _keep_up(view: AppSnapshot, observed: Observed, dependencies: Dependencies) -> list[Step]:
    """Return the steps that have the container in place running and healthy, as it was once."""
    name, due = view.application, is_due(observed, view.history)
    if observed.container.state in ("created", "exited") and dependencies.not_ready_to_run(view):
        return []
    match observed.container.state:
        case "created":
            return _start(view, observed, "created")
        case "exited" if not observed.is_done:
            return _start(view, observed, "it should run") if due else []
        case "running" if is_ailing(observed, view.history) and due:
            return [Restart(name, observed.id, _grace_s(observed), "it was healthy and is not now")]
        case "dead":
            return [Remove(name, observed.id, "the engine could not remove it before")]
        case _:
            return []


def _start(view: AppSnapshot, observed: Observed, reason: str) -> list[Step]:
    """Its secrets' files come first, where a reboot took them."""
    if observed.spec not in view.lacking:
        return [Start(view.application, observed.id, reason)]
    if view.secrets is SecretsState.COMING:
        return []
    secrets = tuple(observed.supervision.secrets)
    return [FetchSecrets(view.application, observed.spec, secrets, "needed to start it")]


def _end(name: str, observed: Observed, reason: str) -> list[Step]:
    """Stop first, in the background and with its grace; remove when that is seen."""
    if observed.container.state == "removing":
        return []
    return [_stop(name, observed, reason) if observed.alive else Remove(name, observed.id, reason)]


def _stop(name: str, observed: Observed, reason: str) -> Stop:
    return Stop(name, observed.id, _grace_s(observed), reason)


def _grace_s(observed: Observed) -> int:
    return ceil(observed.supervision.stop_grace_s)
