"""From what is wanted, observed and remembered to the next steps; pure.

Decided per application; what one must wait for because of others, its ``dependencies`` tell.

A plan holds only what can be done on what was seen. Looking again after it gives the next one, and
the last is empty; so a crash anywhere needs no journal. An application's containers go through::

    nothing ─ Pull, Try, Create ─▶ created ─ Start ─▶ on trial ─ Confirm ─▶ proven
    proven ─ Pull, SetAside, Try, Create ─▶ created + previous ─ Stop previous, Start ─▶ on trial + previous
    on trial + previous ─ Confirm, Remove previous ─▶ proven
    on trial + previous ─ GiveUp, Stop, Remove ─▶ previous ─ Start, BringBack ─▶ proven (the old one)

With kill-then-download, LookInto, SetAside and Stop come before Pull. With hand-over the previous one is
stopped after Confirm.
"""

from collections.abc import Iterable
from math import ceil

from edge.containers.model.observed import Observed
from edge.containers.model.trial import Failure
from edge.containers.plan.app_snapshot import Image, Supply, View
from edge.containers.plan.dependencies import Ties, ties
from edge.containers.plan.health import Missed, Passed, judge
from edge.containers.plan.restart_policy import is_ailing, is_due
from edge.containers.plan.steps import (
    BringBack,
    Confirm,
    Create,
    FetchSecrets,
    Forget,
    GiveUp,
    LookInto,
    Pull,
    Remove,
    Restart,
    SetAside,
    Start,
    Step,
    Stop,
    Try,
)


def plan(views: Iterable[View], *, atomic: bool = False) -> list[Step]:
    """Return the next steps of every application; empty when all is as wanted, or under way.

    What is not wanted any more goes first, to free ports and memory. Nothing running is stopped
    before the engine has every image of the revision that can be had. ``atomic``: all or none.
    """
    views = list(views)
    tied = ties(views, atomic=atomic)
    return [
        step
        for view in sorted(views, key=lambda view: view.wanted is not None)
        if not view.busy
        for step in _steps(view, tied)
    ]


def _steps(view: View, tied: Ties) -> list[Step]:
    if view.wanted is not None and not view.gave_up and not view.refusal:
        doom = tied.doom(view)
        if doom is not None:
            return [_give_up(view, *doom)]
    if view.held:
        return []
    if view.wanted is None:
        return _take_away(view, tied)
    if view.gave_up or view.refusal:
        return _keep_serving(view, tied)
    spec = view.spec
    current = view.pair.current
    if view.is_in_place:
        if current is not None and current.spec == spec:
            return _see_through(view, tied)
        return _clear_place(view, "the previous one is wanted again") or _bring_back(view)
    if _kills_first(view) and not tied.gathering and not tied.waits(view) and not tied.hangs(view):
        way = _make_way(view)
        if way and not view.promising and view.image is Image.NEEDED:
            look = LookInto(view.application, view.wanted.image, "before anything is stopped for it")
            return [look, *_keep_serving(view, tied)]
        if way:
            return way
    if view.image is not Image.HERE or view.secrets is not Supply.HERE:
        wish: list[Step] = []
        if view.image is Image.NEEDED:
            wish.append(Pull(view.application, view.wanted.image, "wanted, and not known to be here"))
        if view.secrets is Supply.NEEDED:
            secrets = tuple(view.wanted.secrets)
            wish.append(FetchSecrets(view.application, spec, secrets, "needed to create it"))
        if _kills_first(view) and view.pair.current is None:
            return wish  # the previous one stays down meanwhile
        return wish + _keep_serving(view, tied)
    return _replace(view, tied)


def _kills_first(view: View) -> bool:
    """Whether what runs ends before the image comes; it comes back while that cannot be had."""
    return (
        view.wanted is not None
        and view.wanted.update_strategy == "kill-then-download"
        and view.image in (Image.NEEDED, Image.COMING)
    )


def _make_way(view: View) -> list[Step]:
    previous = view.pair.previous
    if view.proven is not None:
        if previous is not None:
            return _end(view.application, previous, "the one in place has proven itself")
        return [SetAside(view.application, view.proven.id, "to be replaced")]
    if view.pair.current is None and previous is not None and previous.alive:
        return [_stop(view.application, previous, "to make room for the download")]
    return []


def _replace(view: View, tied: Ties) -> list[Step]:
    """Return the steps from whatever is in place to the wanted container, created and not started."""
    assert view.wanted is not None  # noqa: S101 - narrows for the type checker
    name, spec = view.application, view.spec
    if view.on_trial:
        return _clear_place(view, "another one is wanted, and it never proved itself")
    steps: list[Step] = []
    if view.proven is not None:
        if tied.gathering or tied.waits(view):
            return _keep_serving(view, tied)
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


def _see_through(view: View, tied: Ties) -> list[Step]:
    """Return the steps for a container in place that is the wanted one."""
    assert view.wanted is not None  # noqa: S101 - narrows for the type checker
    name, current, previous = view.application, view.pair.current, view.pair.previous
    assert current is not None  # noqa: S101 - narrows for the type checker
    if not view.on_trial:
        if previous is not None:
            return _end(name, previous, "the one in place has proven itself")
        return _keep_up(view, current, tied)
    match judge(current, view.sighting):
        case Passed(reason=reason):
            return _confirm(view, tied, reason)
        case Missed(code=code, reason=reason):
            return [_give_up(view, code, reason)]
        case _:
            pass
    if current.container.state == "dead":
        return [Remove(name, current.id, "the engine could not remove it before")]
    if current.container.state not in ("created", "exited"):
        return []
    was_stopped_for_it = previous is not None and not previous.alive  # so all that it needs was good then
    if tied.waits_to_run(view) if was_stopped_for_it else tied.waits(view):
        return []
    if previous is not None and previous.alive and not view.hands_over:
        return [] if tied.gathering or tied.hangs(view) else [_stop(name, previous, "to be replaced")]
    if current.container.state == "exited" and not is_due(current, view.sighting):
        return []
    return _start(view, current, current.container.state)


def _confirm(view: View, tied: Ties, reason: str) -> list[Step]:
    """Return the one write that ends the trial; of all at once, where they go together."""
    if not tied.atomic:
        return [Confirm(view.application, view.spec, reason)]
    passed = tied.passed_together()
    if not passed or passed[0][0] != view.application:
        return []
    return [Confirm(view.application, view.spec, reason, others=passed[1:])]


def _give_up(view: View, code: str, reason: str) -> GiveUp:
    assert view.wanted is not None  # noqa: S101 - narrows for the type checker
    working = view.pair.previous or view.proven
    failure = Failure(
        spec=view.spec,
        deployment_id=view.deployment_id,
        code=code,
        reason=reason,
        from_image=view.wanted.image,
        to_image=working.image if working else None,
        last_lines=view.sighting.last_lines if view.on_trial else (),
    )
    return GiveUp(view.application, failure, reason)


def _keep_serving(view: View, tied: Ties) -> list[Step]:
    """Return the steps that keep, or bring back, what works while the wanted one cannot be had."""
    name, current, previous = view.application, view.pair.current, view.pair.previous
    if current is None:
        return _bring_back(view)
    if view.proven is not None:
        if previous is not None:
            return _end(name, previous, "the one in place has proven itself")
        return _keep_up(view, view.proven, tied)
    if not view.is_failed:
        match judge(current, view.sighting):
            case Passed(reason=reason):
                return [Confirm(name, current.spec, reason)]
            case Missed():
                pass
            case _ if current.alive:
                return []
            case _:
                pass
    if previous is None:
        # Kept, stopped, for its logs, until something else is tried.
        return [_stop(name, current, "it failed")] if current.alive else []
    return _clear_place(view, "it failed")


def _take_away(view: View, tied: Ties) -> list[Step]:
    if tied.gathering:
        return []
    if tied.failed is not None:
        return _keep_serving(view, tied)  # all go back together
    current = view.pair.current
    if tied.atomic and tied.pending and current is not None:
        return [_stop(view.application, current, "not wanted any more")] if current.alive else []
    containers = [each for each in (view.pair.current, view.pair.previous) if each is not None]
    if containers:
        return _end(view.application, containers[0], "not wanted any more")
    return [] if view.memory.empty else [Forget(view.application, "not wanted any more")]


def _clear_place(view: View, reason: str) -> list[Step]:
    return [] if view.pair.current is None else _end(view.application, view.pair.current, reason)


def _bring_back(view: View) -> list[Step]:
    """Start before renaming: until it has its name again, a crash leaves no doubt that it must run."""
    previous = view.pair.previous
    if previous is None:
        return []
    if not previous.alive:
        return _start(view, previous, "it is the last one that worked")
    return [BringBack(view.application, previous.id, "it is the last one that worked")]


def _keep_up(view: View, observed: Observed, tied: Ties) -> list[Step]:
    """Return the steps that have the container in place running and healthy, as it was once."""
    name, due = view.application, is_due(observed, view.sighting)
    if observed.container.state in ("created", "exited") and tied.waits_to_run(view):
        return []
    match observed.container.state:
        case "created":
            return _start(view, observed, "created")
        case "exited" if not observed.is_done:
            return _start(view, observed, "it should run") if due else []
        case "running" if is_ailing(observed, view.sighting) and due:
            return [Restart(name, observed.id, _grace_s(observed), "it was healthy and is not now")]
        case "dead":
            return [Remove(name, observed.id, "the engine could not remove it before")]
        case _:
            return []


def _start(view: View, observed: Observed, reason: str) -> list[Step]:
    """Its secrets' files come first, where a reboot took them."""
    if observed.spec not in view.lacking:
        return [Start(view.application, observed.id, reason)]
    if view.secrets is Supply.COMING:
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
