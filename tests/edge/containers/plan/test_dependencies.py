"""What applications of one deployment owe each other: fetched together, in order, all or none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.applications import Application
from contract.desired import DesiredDocument
from contract.reports import ApplicationState
from edge.containers.plan.app_snapshot import AppSnapshot, ImageState
from edge.containers.plan.health import HealthHistory
from edge.containers.plan.steps import SetAside, Stop
from edge.ports.engine import State
from edge.ports.engine_errors import RegistryUnreachable
from tests.edge.containers.plan.test_planner import LONG, a_view, made_from, planned, views
from tests.support.edge.containers import (
    Device,
    Later,
    a_document,
    an_application,
    an_engine,
    current,
    image,
    previous,
)
from tests.support.edge.fake_engine import FakeEngine, FakeImage

RUNNING, ROLLED_BACK, FAILED = (
    ApplicationState.RUNNING,
    ApplicationState.ROLLED_BACK,
    ApplicationState.FAILED,
)


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine(
        broken=FakeImage(health="unhealthy"), slow=FakeImage(health="starting"), job=FakeImage(exits=0)
    )


@pytest.fixture
def device(engine: FakeEngine, tmp_path: Path) -> Device:
    return Device(engine, tmp_path)


def needing(name: str, *others: str, condition: str = "healthy", **fields: Any) -> Application:
    needs = [{"application": other, "condition": condition} for other in others]
    return an_application(name, depends_on=needs, **fields)


def atomic(*applications: Application, revision: int = 2) -> DesiredDocument:
    return a_document(*applications, revision=revision).model_copy(update={"atomic": True})


def states(device: Device) -> list[ApplicationState]:
    return [status.state for status in device.settle().statuses]


def codes(device: Device) -> list[str | None]:
    return [status.code for status in device.settle().statuses]


@given(st.lists(views(), min_size=1, max_size=4))
def test_nothing_that_works_is_stopped_while_an_image_of_the_revision_is_on_its_way(
    several: list[AppSnapshot],
) -> None:
    coming = AppSnapshot("coming", an_application("coming"), spec="new", image=ImageState.COMING)
    named = [replace(view, application=f"app-{i}") for i, view in enumerate(several)]

    steps = planned(*named, coming).steps

    working = {(view.application, view.proven.id) for view in named if view.proven and view.proven.alive}
    ended = {(step.application, step.container_id) for step in steps if isinstance(step, Stop | SetAside)}
    assert not working & ended


def test_every_image_is_fetched_before_anything_is_stopped(engine: FakeEngine, tmp_path: Path) -> None:
    later = Later()
    device = Device(engine, tmp_path, workers=later)
    device.desire(a_document(an_application("a"), an_application("b"), an_application("gone")))
    while not device.reconciler.converge().settled:
        later.let_go()
        device.clock.passed_s += 1.0
    before = len(engine.calls)

    device.desire(
        a_document(
            an_application("a", image_name="hello:v2"), an_application("b", image_name="hello:v3"), revision=2
        )
    )
    while not device.reconciler.converge().settled:
        later.let_go()
        device.clock.passed_s += 1.0

    calls = engine.calls[before:]
    last_pull = len(calls) - 1 - calls[::-1].index("pull")
    assert calls.count("pull") == 2
    assert last_pull < calls.index("stop")
    assert last_pull < calls.index("rename")


def test_a_registry_that_does_not_answer_for_one_image_holds_up_no_other_application(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application("a"), an_application("b"))
    engine.pull_errors[image("hello:v3")] = RegistryUnreachable("connection refused")

    device.desire(
        a_document(
            an_application("a", image_name="hello:v2"), an_application("b", image_name="hello:v3"), revision=2
        )
    )
    for _ in range(10):
        result = device.reconciler.converge()
        device.clock.passed_s += 1.0

    assert [status.image for status in result.statuses] == [image("hello:v2"), image("hello:v1")]


def test_with_hand_over_the_old_one_runs_until_the_new_one_is_healthy(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application(update_strategy="hand-over"))
    device.desire(
        a_document(
            an_application(image_name="slow:v1", update_strategy="hand-over", healthy_window_s=60), revision=2
        )
    )
    for _ in range(10):
        result = device.reconciler.converge()
        device.clock.passed_s += 1.0
    assert (engine.named(previous()).state, engine.named(current()).state) == ("running", "running")
    assert not result.critical

    engine.named(current()).health = "healthy"

    assert states(device) == [RUNNING]
    assert [each.name for each in engine.all.values()] == [current()]


def test_with_hand_over_a_bad_one_never_stops_the_old_one(device: Device, engine: FakeEngine) -> None:
    device.deploy(an_application())
    old = engine.named(current())

    bad = an_application(image_name="broken:v1", update_strategy="hand-over", healthy_window_s=5)
    [status] = device.deploy(bad, revision=2).statuses

    assert status.state is ROLLED_BACK
    assert (old.name, old.state, old.starts) == (current(), "running", 1)


def test_with_kill_then_download_the_old_one_has_stopped_before_the_pull(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    before = len(engine.calls)

    result = device.deploy(
        an_application(image_name="hello:v2", update_strategy="kill-then-download"), revision=2
    )

    calls = engine.calls[before:]
    assert result.statuses[0].state is RUNNING
    assert calls.index("stop") < calls.index("pull")


@pytest.mark.parametrize("name", ["ghost:v1", "broken:v1"])
def test_with_kill_then_download_the_old_one_comes_back_when_the_new_one_cannot_be_had_or_fails(
    name: str, device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    old = engine.named(current())

    wanted = an_application(image_name=name, update_strategy="kill-then-download", healthy_window_s=3)

    assert device.deploy(wanted, revision=2).statuses[0].state is ROLLED_BACK
    assert (old.name, old.state) == (current(), "running")


def test_with_kill_then_download_the_old_one_serves_between_two_tries(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    engine.pull_errors[image("hello:v2")] = RegistryUnreachable("connection refused")
    wanted = an_application(image_name="hello:v2", update_strategy="kill-then-download")
    device.desire(a_document(wanted, revision=2))

    device.reconciler.converge()
    assert engine.named(current()).state == "running"

    engine.pull_errors.clear()
    assert states(device) == [RUNNING]
    assert engine.named(current()).spec.image == image("hello:v2")


def test_who_depends_on_another_starts_when_that_one_is_healthy(device: Device, engine: FakeEngine) -> None:
    device.desire(a_document(needing("web", "db"), an_application("db", image_name="slow:v1")))
    for _ in range(5):
        result = device.reconciler.converge()
        device.clock.passed_s += 1.0
    assert engine.named(current("web")).state == "created"
    assert (result.statuses[0].code, result.statuses[0].message) == ("dependency-not-ready", "waits for db")

    engine.named(current("db")).health = "healthy"

    assert states(device) == [RUNNING, RUNNING]
    assert codes(device) == [None, None]


def test_who_needs_another_only_started_does_not_wait_for_its_health(
    device: Device, engine: FakeEngine
) -> None:
    device.desire(
        a_document(needing("web", "db", condition="started"), an_application("db", image_name="slow:v1"))
    )
    for _ in range(3):
        device.reconciler.converge()
        device.clock.passed_s += 1.0

    assert engine.named(current("web")).state == "running"


def test_a_job_that_has_ended_well_is_ready(device: Device, engine: FakeEngine) -> None:
    device.deploy(needing("web", "job"), an_application("job", image_name="job:v1", restart="no"))

    assert engine.named(current("web")).state == "running"


def test_an_update_replaces_in_the_order_of_dependency(device: Device, engine: FakeEngine) -> None:
    def chain(tag: str) -> list[Application]:
        return [
            needing("web", "api", image_name=tag),
            needing("api", "db", image_name=tag),
            an_application("db", image_name=tag),
        ]

    device.deploy(*chain("hello:v1"))
    device.deploy(*chain("hello:v2"), revision=2)

    made = [each.name for each in engine.all.values()]  # in the order of their creation
    assert made == [current("db"), current("api"), current("web")]
    assert states(device) == [RUNNING] * 3


def a_dependent_pair(db: HealthHistory, previous: State) -> list[AppSnapshot]:
    """Return the views of "web", created to follow what serves, and of the "db" on trial that it needs."""
    web, older = needing("web", "db"), needing("web", "db", image_name="hello:v0")
    dependency = an_application("db")
    return [
        a_view(
            web,
            current=made_from(web, "created"),
            previous=made_from(older, previous, suffix="old"),
            trial=web.digest(),
        ),
        replace(
            a_view(dependency, current=made_from(dependency), trial=dependency.digest(), history=db),
            application="db",
        ),
    ]


def test_nothing_that_serves_is_stopped_for_what_depends_on_one_whose_trial_could_begin_anew() -> None:
    assert str(planned(*a_dependent_pair(LONG, "running"))) == "confirm db: healthy"


def test_who_was_stopped_to_be_replaced_starts_as_soon_as_what_it_needs_runs() -> None:
    assert str(planned(*a_dependent_pair(HealthHistory(), "exited"), atomic=True)) == (
        "start web: created\nweb waits: dependency-not-ready, waits for db"
    )


def test_when_one_fails_who_depends_on_it_keeps_what_it_has_and_the_others_go_on(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(needing("web", "db"), an_application("db"), an_application("other"))
    web = engine.named(current("web"))

    device.deploy(
        needing("web", "db", image_name="hello:v2"),
        an_application("db", image_name="broken:v1", healthy_window_s=3),
        an_application("other", image_name="hello:v2"),
        revision=2,
    )

    assert states(device) == [ROLLED_BACK, ROLLED_BACK, RUNNING]
    assert codes(device) == ["dependency-failed", "unhealthy", None]
    assert (web.name, web.state, web.starts) == (current("web"), "running", 1)


def test_after_a_power_cut_the_agent_starts_them_in_order_because_the_engine_does_not(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(needing("web", "db"), an_application("db", image_name="hello:v1"))
    assert engine.named(current("web")).spec.restart == "no"
    for each in engine.all.values():
        each.state = "exited"
    engine.images[image("hello:v1")].health = "starting"

    device.start_again()
    for _ in range(3):
        device.reconciler.converge()
        device.clock.passed_s += 1.0
    assert (engine.named(current("db")).state, engine.named(current("web")).state) == ("running", "exited")

    engine.named(current("db")).health = "healthy"
    device.reconciler.converge()
    assert engine.named(current("web")).state == "running"


def test_an_atomic_deployment_with_one_bad_application_goes_back_whole(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application("a"), an_application("b"), an_application("gone"))
    before = {each.id: each.name for each in engine.all.values()}

    device.desire(
        atomic(
            an_application("a", image_name="hello:v2"),
            an_application("b", image_name="broken:v1", healthy_window_s=5),
            an_application("new"),
        )
    )

    assert states(device) == [ROLLED_BACK, ROLLED_BACK, FAILED, RUNNING]
    assert codes(device) == ["deployment-failed", "unhealthy", "deployment-failed", None]
    running = {each.id: each.name for each in engine.all.values() if each.state == "running"}
    assert running == before


def test_an_atomic_deployment_touches_nothing_when_an_image_cannot_be_had(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application("a"), an_application("b"))
    before = {each.id: (each.name, each.starts) for each in engine.all.values()}

    device.desire(
        atomic(an_application("a", image_name="hello:v2"), an_application("b", image_name="ghost:v1"))
    )

    assert states(device) == [ROLLED_BACK, ROLLED_BACK]
    assert {each.id: (each.name, each.starts) for each in engine.all.values()} == before


def test_a_good_atomic_deployment_keeps_every_previous_one_until_all_are_good(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application("a"), an_application("b"))
    device.desire(
        atomic(
            an_application("a", image_name="hello:v2"),
            an_application("b", image_name="slow:v1", healthy_window_s=60),
        )
    )
    for _ in range(20):
        device.reconciler.converge()
        device.clock.passed_s += 1.0
    assert engine.named(previous("a")).state == "exited"

    engine.named(current("b")).health = "healthy"

    assert states(device) == [RUNNING, RUNNING]
    assert {each.name for each in engine.all.values()} == {current("a"), current("b")}


def test_an_atomic_deployment_may_depend_within_itself(device: Device) -> None:
    device.desire(atomic(needing("web", "db"), an_application("db")))

    assert states(device) == [RUNNING, RUNNING]


def test_a_failed_atomic_deployment_is_not_tried_again_by_the_next_agent(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application("a"), an_application("b"))
    device.desire(
        atomic(
            an_application("a", image_name="hello:v2"),
            an_application("b", image_name="broken:v1", healthy_window_s=5),
        )
    )
    device.settle()
    creates = engine.calls.count("create")

    device.start_again()

    assert states(device) == [ROLLED_BACK, ROLLED_BACK]
    assert engine.calls.count("create") == creates


def test_a_retry_of_what_failed_tries_who_depends_on_it_again_too(device: Device, engine: FakeEngine) -> None:
    device.deploy(needing("web", "db"), an_application("db", image_name="later:v1"))
    assert codes(device) == ["dependency-failed", "image-not-found"]
    engine.registry[image("later:v1")] = FakeImage()

    assert device.reconciler.retry("db") is None

    assert states(device) == [RUNNING, RUNNING]


def test_a_retry_in_an_atomic_deployment_tries_all_again(device: Device, engine: FakeEngine) -> None:
    device.desire(atomic(an_application("a"), an_application("b", image_name="later:v1")))
    assert codes(device) == ["deployment-failed", "image-not-found"]
    engine.registry[image("later:v1")] = FakeImage()

    assert device.reconciler.retry("a") is None

    assert states(device) == [RUNNING, RUNNING]
