"""Plans, by table and by property: what the next steps are, and what they never are."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.desired import Application
from edge.containers.model.observed import ContainerPair, Observed, Supervision
from edge.containers.model.trial import Failure, TrialRecord
from edge.containers.plan.app_snapshot import AppSnapshot, ImageState, SecretsState, Wait
from edge.containers.plan.health import HealthHistory
from edge.containers.plan.planner import Plan, plan
from edge.containers.plan.snapshot import ClosedWindow, Snapshot
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
    describe,
)
from edge.ports.engine import Container, Health, State
from tests.support.edge.containers import an_application

OLD, NEW, THIRD = (an_application(image_name=f"hello:{tag}") for tag in ("v1", "v2", "v3"))
LONG = HealthHistory(window_s=1000, steady_s=1000)
SICK = HealthHistory(window_s=1000, steady_s=1000, was_healthy=True)


def made_from(
    application: Application, state: State = "running", health: Health = "none", suffix: str = ""
) -> Observed:
    return Observed(
        container=Container(
            id=(application.image[-64:-58] + suffix).ljust(12, "x"),
            name="",
            state=state,
            labels={},
            health=health,
        ),
        spec=application.digest(),
        image=application.image,
        supervision=Supervision(restart=application.restart, healthy_window_s=application.healthy_window_s),
    )


def a_failure(application: Application, deployment_id: str = "d1") -> Failure:
    return Failure(
        spec=application.digest(),
        deployment_id=deployment_id,
        code="unhealthy",
        reason="it is",
        from_image=application.image,
        to_image=None,
    )


def a_view(wanted: Application | None = NEW, **fields: Any) -> AppSnapshot:
    pair = ContainerPair(fields.pop("current", None), fields.pop("previous", None))
    record = TrialRecord(trial=fields.pop("trial", None), failed=fields.pop("failed", None))
    here = {"image": ImageState.HERE, "reference": wanted.image if wanted else ""}
    return AppSnapshot(
        **{
            "application": "web",
            "wanted": wanted,
            "spec": wanted.digest() if wanted else "",
            "deployment_id": "d1",
            **here,
            **fields,
        },
        pair=pair,
        record=record,
    )


def planned(*views: AppSnapshot, atomic: bool = False) -> Plan:
    return plan(Snapshot(views, atomic=atomic))


TRIAL = NEW.digest()
TABLE: dict[str, tuple[AppSnapshot, str]] = {
    "nothing there, image not here": (
        a_view(image=ImageState.NEEDED),
        "pull web: wanted, and not known to be here",
    ),
    "nothing there, image coming": (a_view(image=ImageState.COMING), ""),
    "nothing there, image here": (a_view(), "try web: about to be created\ncreate web: wanted"),
    "created": (a_view(current=made_from(NEW, "created"), trial=TRIAL), "start web: created"),
    "started a moment ago": (a_view(current=made_from(NEW), trial=TRIAL), ""),
    "started long ago": (a_view(current=made_from(NEW), trial=TRIAL, history=LONG), "confirm web: healthy"),
    "its health check is not done": (
        a_view(current=made_from(NEW, health="starting"), trial=TRIAL, history=HealthHistory(window_s=1)),
        "",
    ),
    "its health check never passed": (
        a_view(current=made_from(NEW, health="unhealthy"), trial=TRIAL, history=LONG),
        "giveup web: not healthy within 30 s: its health check says unhealthy",
    ),
    "proven and running": (a_view(current=made_from(NEW)), ""),
    "proven and unhealthy": (
        a_view(current=made_from(NEW, health="unhealthy"), history=SICK),
        "restart web: it was healthy and is not now",
    ),
    "proven and unhealthy, and restarted a moment ago": (
        a_view(current=made_from(NEW, health="unhealthy"), history=replace(SICK, restarts=3)),
        "",
    ),
    "proven, started a moment ago and not healthy yet": (
        a_view(current=made_from(NEW, health="unhealthy")),
        "",
    ),
    "proven and ended, and started a moment ago": (
        a_view(current=made_from(NEW, "exited"), history=replace(SICK, restarts=3)),
        "",
    ),
    "proven and ended": (a_view(current=made_from(NEW, "exited")), "start web: it should run"),
    "proven and being restarted by the engine": (a_view(current=made_from(NEW, "restarting")), ""),
    "proven and paused by somebody": (a_view(current=made_from(NEW, "paused")), ""),
    "half removed by the engine": (
        a_view(current=made_from(NEW, "dead")),
        "remove web: the engine could not remove it before",
    ),
    "another one runs, image not here": (
        a_view(current=made_from(OLD), image=ImageState.NEEDED),
        "pull web: wanted, and not known to be here",
    ),
    "another one ended, image not here": (
        a_view(current=made_from(OLD, "exited"), image=ImageState.HELD),
        "start web: it should run",
    ),
    "another one runs, image here": (
        a_view(current=made_from(OLD)),
        "setaside web: to be replaced\ntry web: about to be created\ncreate web: its specification changed",
    ),
    "set aside, then the agent died": (
        a_view(previous=made_from(OLD)),
        "try web: about to be created\ncreate web: wanted",
    ),
    "the new one is made, the old one runs": (
        a_view(current=made_from(NEW, "created"), previous=made_from(OLD), trial=TRIAL),
        "stop web: to be replaced",
    ),
    "the new one is made, the old one stopped": (
        a_view(current=made_from(NEW, "created"), previous=made_from(OLD, "exited"), trial=TRIAL),
        "start web: created",
    ),
    "the new one is proven": (
        a_view(current=made_from(NEW), previous=made_from(OLD, "exited")),
        "remove web: the one in place has proven itself",
    ),
    "the new one failed and runs": (
        a_view(current=made_from(NEW), previous=made_from(OLD, "exited"), trial=TRIAL, failed=a_failure(NEW)),
        "stop web: it failed",
    ),
    "the new one failed and stopped": (
        a_view(
            current=made_from(NEW, "exited"),
            previous=made_from(OLD, "exited"),
            trial=TRIAL,
            failed=a_failure(NEW),
        ),
        "remove web: it failed",
    ),
    "the new one failed and is gone": (
        a_view(previous=made_from(OLD, "exited"), trial=TRIAL, failed=a_failure(NEW)),
        "start web: it is the last one that worked",
    ),
    "the old one runs again, not in its place": (
        a_view(previous=made_from(OLD), trial=TRIAL, failed=a_failure(NEW)),
        "bringback web: it is the last one that worked",
    ),
    "rolled back": (a_view(current=made_from(OLD), trial=TRIAL, failed=a_failure(NEW)), ""),
    "what failed is deployed again": (
        a_view(current=made_from(OLD), trial=TRIAL, failed=a_failure(NEW, "d0")),
        "setaside web: to be replaced\ntry web: about to be created\ncreate web: its specification changed",
    ),
    "the first one failed": (
        a_view(current=made_from(NEW), trial=TRIAL, failed=a_failure(NEW)),
        "stop web: it failed",
    ),
    "the first one failed and stopped": (
        a_view(current=made_from(NEW, "exited"), trial=TRIAL, failed=a_failure(NEW)),
        "",
    ),
    "the first one failed and is deployed again": (
        a_view(current=made_from(NEW, "exited"), trial=TRIAL, failed=a_failure(NEW, "d0")),
        "remove web: another one is wanted, and it never proved itself",
    ),
    "the previous one is wanted again": (
        a_view(OLD, current=made_from(NEW), previous=made_from(OLD, "exited"), trial=TRIAL),
        "stop web: the previous one is wanted again",
    ),
    "a third one during a trial, image not here": (
        a_view(
            THIRD,
            current=made_from(NEW),
            previous=made_from(OLD, "exited"),
            trial=TRIAL,
            image=ImageState.NEEDED,
        ),
        "pull web: wanted, and not known to be here",
    ),
    "a third one cannot be had and the trial failed": (
        a_view(
            THIRD,
            current=made_from(NEW, health="unhealthy"),
            previous=made_from(OLD, "exited"),
            trial=TRIAL,
            image=ImageState.HELD,
            history=LONG,
        ),
        "stop web: it failed",
    ),
    "a third one cannot be had and the trial passed": (
        a_view(THIRD, current=made_from(NEW), trial=TRIAL, image=ImageState.HELD, history=LONG),
        "confirm web: healthy",
    ),
    "not wanted, running": (a_view(None, current=made_from(OLD)), "stop web: not wanted any more"),
    "not wanted, ended": (a_view(None, current=made_from(OLD, "exited")), "remove web: not wanted any more"),
    "not wanted, being removed": (a_view(None, current=made_from(OLD, "removing")), ""),
    "not wanted, only a previous one": (
        a_view(None, previous=made_from(OLD, "exited")),
        "remove web: not wanted any more",
    ),
    "not wanted, only remembered": (a_view(None, trial=TRIAL), "forget web: not wanted any more"),
    "not wanted, nothing known": (a_view(None), ""),
    "busy": (a_view(busy=True), ""),
    "held after a failure": (a_view(held=True), ""),
}


@pytest.mark.parametrize("situation", TABLE)
def test_the_next_steps(situation: str) -> None:
    view, expected = TABLE[situation]

    assert str(planned(view)) == expected


LOCKED: dict[str, Any] = {"locked": frozenset({"web"})}
CLOSED: dict[str, Any] = {"window": ClosedWindow(datetime(2026, 11, 29, 22, tzinfo=UTC))}
REPLACED = a_view(current=made_from(OLD))
SICK_ONE = a_view(current=made_from(NEW, health="unhealthy"), history=SICK)
BEGUN = a_view(previous=made_from(OLD, "exited"))  # the old one has stopped for the new one
LOCK_WAIT = "web waits: update-locked, the application holds its update lock"
WINDOW_WAIT = "web waits: outside-window, no maintenance window is open, until 2026-11-29 22:00:00"
REPLACING = (
    "setaside web: to be replaced\ntry web: about to be created\ncreate web: its specification changed"
)


@pytest.mark.parametrize(
    ("view", "held_back", "expected", "withheld"),
    [
        (REPLACED, {}, REPLACING, 0),
        (REPLACED, LOCKED, LOCK_WAIT, 3),
        (REPLACED, CLOSED, WINDOW_WAIT, 3),
        (REPLACED, LOCKED | CLOSED, LOCK_WAIT, 3),
        (REPLACED, LOCKED | CLOSED | {"force": True}, REPLACING, 0),
        (SICK_ONE, LOCKED, LOCK_WAIT, 1),
        (SICK_ONE, CLOSED, "restart web: it was healthy and is not now", 0),  # which heals, and is no update
        (BEGUN, LOCKED | CLOSED, "try web: about to be created\ncreate web: wanted", 0),
        (replace(REPLACED, image=ImageState.NEEDED), CLOSED, "pull web: wanted, and not known to be here", 0),
        (replace(REPLACED, busy=True), LOCKED, "", 0),
    ],
)
def test_what_ends_a_serving_container_waits_for_lock_and_window_and_says_so(
    view: AppSnapshot, held_back: Any, expected: str, withheld: int
) -> None:
    found = plan(Snapshot((view,), **held_back))

    assert (str(found), len(found.withheld)) == (expected, withheld)


def test_a_failure_that_waits_for_its_next_try_is_said_before_all_else() -> None:
    retry = Wait("pull-failed", "the registry does not answer")

    found = plan(Snapshot((replace(REPLACED, retry=retry),), **LOCKED))

    assert str(found) == "web waits: pull-failed, the registry does not answer"


APPLICATIONS = st.sampled_from([OLD, NEW, THIRD])
STATES: st.SearchStrategy[State] = st.sampled_from(
    ["created", "running", "restarting", "exited", "dead", "paused"]
)
HEALTHS: st.SearchStrategy[Health] = st.sampled_from(["none", "starting", "healthy", "unhealthy"])


@st.composite
def views(draw: st.DrawFn) -> AppSnapshot:
    def container(suffix: str) -> Observed | None:
        if draw(st.booleans()):
            return None
        return made_from(draw(APPLICATIONS), draw(STATES), draw(HEALTHS), suffix)

    wanted = draw(st.none() | APPLICATIONS)
    failed = draw(st.none() | APPLICATIONS)
    trial = draw(st.none() | APPLICATIONS)
    return a_view(
        wanted,
        current=container("c"),
        previous=container("p"),
        trial=trial.digest() if trial else None,
        failed=a_failure(failed, draw(st.sampled_from(["d0", "d1"]))) if failed else None,
        image=draw(st.sampled_from([ImageState.HERE, ImageState.NEEDED])),
        secrets=draw(st.sampled_from([SecretsState.HERE, SecretsState.NEEDED])),
        lacking=frozenset(draw(st.sets(st.sampled_from([OLD.digest(), NEW.digest()])))),
        history=draw(st.sampled_from([HealthHistory(), LONG, SICK])),
    )


def carried_out(view: AppSnapshot, step: Step, *, answers: bool) -> AppSnapshot:
    """Return the view after ``step`` went well; ``answers``: what is started is healthy."""
    current, previous, record = view.pair.current, view.pair.previous, view.record

    def with_state(observed: Observed | None, of: str, state: State) -> Observed | None:
        if observed is None or observed.id != of:
            return observed
        health: Health = "healthy" if answers else "unhealthy"
        return replace(observed, container=replace(observed.container, state=state, health=health))

    match step:
        case Pull():
            return replace(view, image=ImageState.HERE, reference=step.image)
        case InspectImage():
            return replace(view, preflight_passed=True)
        case FetchSecrets():
            here = SecretsState.HERE if step.spec == view.spec else view.secrets
            return replace(view, secrets=here, lacking=view.lacking - {step.spec})
        case SetAside():
            assert previous is None, "a name cannot be taken twice"
            return replace(view, pair=ContainerPair(None, current))
        case BringBack():
            assert current is None, "a name cannot be taken twice"
            return replace(view, pair=ContainerPair(previous, None))
        case Create():
            assert current is None, "a name cannot be taken twice"
            return replace(view, pair=ContainerPair(made_from(step.wanted, "created", suffix="n"), previous))
        case Start() | Stop():
            state: State = "running" if isinstance(step, Start) else "exited"
            of = step.container_id
            pair = ContainerPair(with_state(current, of, state), with_state(previous, of, state))
            return replace(view, pair=pair, history=LONG)
        case Restart():
            pair = ContainerPair(with_state(current, step.container_id, "running"), previous)
            return replace(view, pair=pair, history=replace(LONG, restarts=view.history.restarts + 1))
        case Remove():
            kept = [None if each and each.id == step.container_id else each for each in (current, previous)]
            return replace(view, pair=ContainerPair(*kept))
        case Try():
            return replace(view, record=TrialRecord(trial=step.spec))
        case Confirm():
            failed = record.failed if record.failed and record.failed.spec != step.spec else None
            return replace(view, record=TrialRecord(failed=failed))
        case GiveUp():
            return replace(view, record=replace_failed(record, step.failure))
        case Forget():
            return replace(view, record=TrialRecord())


def replace_failed(record: TrialRecord, failure: Failure) -> TrialRecord:
    return TrialRecord(trial=record.trial, failed=failure)


def followed(view: AppSnapshot, *, answers: bool) -> tuple[AppSnapshot, list[Step]]:
    """Return where plans lead, and every step on the way; fails when they lead nowhere."""
    done: list[Step] = []
    for _ in range(30):
        steps = planned(view).steps
        if not steps:
            return view, done
        for step in steps:
            view = carried_out(view, step, answers=answers)
        done += steps
    raise AssertionError(f"no end: {[describe(step) for step in done]}")


@given(views(), st.booleans())
def test_plans_come_to_an_end_where_nothing_is_left_to_do(view: AppSnapshot, answers: bool) -> None:
    end, _ = followed(view, answers=answers)

    assert planned(end) == Plan()


@given(views())
def test_a_wanted_application_that_works_ends_up_alone_in_its_place(view: AppSnapshot) -> None:
    wanted = view.wanted
    if wanted is None or view.gave_up:
        return
    view = replace(view, history=HealthHistory())
    end, done = followed(view, answers=True)
    end, later = followed(replace(end, history=LONG), answers=True)

    if any(isinstance(step, GiveUp) for step in done + later):
        return  # the one found on trial had failed before anything could be done
    assert end.pair.previous is None
    assert end.proven is not None
    assert end.proven.spec == wanted.digest()


@given(views())
def test_what_is_not_wanted_leaves_nothing_behind(view: AppSnapshot) -> None:
    end, _ = followed(replace(view, wanted=None, spec=""), answers=True)

    assert end.pair == ContainerPair()
    assert end.record.empty


@given(views())
def test_no_proven_container_is_stopped_or_removed_before_the_new_image_is_here(view: AppSnapshot) -> None:
    if view.wanted is None or view.image is ImageState.HERE or view.proven is None:
        return
    if view.proven.spec == view.wanted.digest():
        return

    touched = {
        step.container_id for step in planned(view).steps if isinstance(step, Stop | Remove | SetAside)
    }

    assert view.proven.container.state == "dead" or view.proven.id not in touched


@given(views())
def test_a_previous_container_is_only_removed_when_the_one_in_place_is_proven(view: AppSnapshot) -> None:
    previous = view.pair.previous
    removed = {step.container_id for step in planned(view).steps if isinstance(step, Remove)}

    if view.wanted is not None and previous is not None and previous.id in removed:
        assert view.proven is not None


@given(st.lists(views(), max_size=4))
def test_applications_are_planned_independently(several: list[AppSnapshot]) -> None:
    named = [replace(view, application=f"app-{i}", image=ImageState.HERE) for i, view in enumerate(several)]

    together = planned(*named).steps

    assert sorted(map(repr, together)) == sorted(repr(step) for view in named for step in planned(view).steps)


@given(st.lists(views(), max_size=4))
def test_what_is_not_wanted_goes_first(several: list[AppSnapshot]) -> None:
    named = [replace(view, application=f"app-{i}") for i, view in enumerate(several)]
    unwanted = {view.application for view in named if view.wanted is None}

    order = [step.application in unwanted for step in planned(*named).steps]

    assert order == sorted(order, reverse=True)
