"""What a device does with what is wanted, on an engine whose state the test can see."""

from pathlib import Path

import pytest

from contract.reports import ApplicationState
from edge.containers import reconciler
from edge.containers.model.image_references import CredentialsUnavailable
from edge.containers.observe.probes import Prober
from edge.containers.plan.planner import Plan, plan
from edge.containers.plan.snapshot import Snapshot
from edge.ports.engine_errors import DiskFull, PortTaken, PullStalled, RegistryDenied, RegistryUnreachable
from tests.support.edge.containers import (
    HOST,
    Device,
    FakeCredentials,
    Later,
    a_document,
    an_application,
    an_engine,
    current,
    image,
    previous,
)
from tests.support.edge.fake_engine import FakeEngine, FakeImage


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine(
        broken=FakeImage(health="unhealthy"),
        crashing=FakeImage(exits=1),
        foreign_machine=FakeImage(exits=126, wrong_architecture=True),
        job=FakeImage(exits=0),
    )


@pytest.fixture
def device(engine: FakeEngine, tmp_path: Path) -> Device:
    return Device(engine, tmp_path)


def test_a_wanted_application_is_pulled_created_started_and_reported_running(
    device: Device, engine: FakeEngine
) -> None:
    result = device.deploy(an_application(ports=[{"container_port": 8080, "host_port": 80}], env={"A": "b"}))

    [status] = result.statuses
    container = engine.named(current())
    assert (status.state, status.image, status.code) == (ApplicationState.RUNNING, image("hello:v1"), None)
    assert status.container_id == container.id[:12]
    assert [(port.container_port, port.host_port, port.address) for port in status.ports] == [
        (8080, 80, "127.0.0.1")
    ]
    assert container.spec.env == {"A": "b"}
    assert result.engine == "99.0"
    assert not result.critical


def test_a_pass_with_nothing_to_do_asks_the_engine_once_however_many_run(
    device: Device, engine: FakeEngine
) -> None:
    for count in (1, 20):
        device.deploy(*(an_application(f"app-{i}") for i in range(count)), revision=count)
        before = len(engine.calls)

        device.reconciler.converge()

        assert engine.calls[before:] == ["list"]


def test_an_update_replaces_the_container_once_the_new_one_is_healthy(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    old = engine.named(current()).id

    result = device.deploy(an_application(image_name="hello:v2"), revision=2)

    assert result.statuses[0].state is ApplicationState.RUNNING
    assert result.statuses[0].image == image("hello:v2")
    assert [each.name for each in engine.all.values()] == [current()]
    assert engine.named(current()).id != old


def test_the_old_container_runs_until_the_new_image_is_here(engine: FakeEngine, tmp_path: Path) -> None:
    later = Later()
    device = Device(engine, tmp_path, workers=later)
    device.desire(a_document(an_application()))
    while not device.reconciler.converge().settled:
        later.let_go()
        device.clock.passed_s += 1.0

    device.desire(a_document(an_application(image_name="hello:v2"), revision=2))
    pulling = device.reconciler.converge()

    assert pulling.statuses[0].state is ApplicationState.PULLING
    assert pulling.statuses[0].image == image("hello:v1")
    assert engine.named(current()).state == "running"
    assert not pulling.settled
    assert not pulling.critical


def test_a_pull_under_way_is_reported_with_how_far_it_has_come(engine: FakeEngine, tmp_path: Path) -> None:
    later = Later()
    device = Device(engine, tmp_path, workers=later)
    seen: list[tuple[str, int | None]] = []

    def look(percent: int) -> None:
        [status] = device.reconciler.converge().statuses
        seen.append((status.state, status.pull_percent))

    engine.on_pull_progress = look
    device.desire(a_document(an_application()))
    look(0)
    later.let_go()

    assert seen[:4] == [("PULLING", None), ("PULLING", 0), ("PULLING", 40), ("PULLING", 100)]
    assert device.reconciler.converge().statuses[0].pull_percent is None


def test_a_stalled_pull_is_tried_again_for_ever(device: Device, engine: FakeEngine) -> None:
    engine.pull_errors[image("hello:v1")] = PullStalled("nothing came for 120 s")
    device.desire(a_document(an_application()))

    for _ in range(20):
        stalled = device.reconciler.converge().statuses[0]
        device.clock.passed_s += 700
    assert (stalled.state, stalled.code) == (ApplicationState.PULLING, "pull-stalled")
    assert stalled.next_try_at is not None

    engine.pull_errors.clear()
    assert device.settle().statuses[0].state is ApplicationState.RUNNING


def test_a_reboot_would_hurt_only_between_the_old_ones_end_and_the_new_ones_start(
    engine: FakeEngine, tmp_path: Path
) -> None:
    later = Later()
    device = Device(engine, tmp_path, workers=later)
    device.desire(a_document(an_application()))
    while not device.reconciler.converge().settled:
        later.let_go()
        device.clock.passed_s += 1.0
    device.desire(a_document(an_application(image_name="hello:v2"), revision=2))

    seen = []
    while not (result := device.reconciler.converge()).settled:
        seen.append((result.critical, engine.named(current()).state))
        later.let_go()
        device.clock.passed_s += 1.0

    assert seen[0][0] is False
    assert any(critical for critical, _ in seen)
    assert all(critical for critical, state in seen if state == "created")
    assert not result.critical


def test_one_that_is_not_healthy_within_its_window_gives_way_to_the_previous_one(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    old = engine.named(current()).id

    result = device.deploy(an_application(image_name="broken:v1", healthy_window_s=10), revision=2)

    [status] = result.statuses
    assert status.state is ApplicationState.ROLLED_BACK
    assert status.image == image("hello:v1")
    assert status.rollback is not None
    assert (status.rollback.from_image, status.rollback.to_image) == (image("broken:v1"), image("hello:v1"))
    assert status.rollback.code == "unhealthy"
    assert "10 s" in status.rollback.reason
    assert [(each.id, each.name, each.state) for each in engine.all.values()] == [(old, current(), "running")]


def test_what_failed_is_not_tried_again_until_it_is_deployed_again(
    device: Device, engine: FakeEngine
) -> None:
    broken = an_application(image_name="broken:v1", healthy_window_s=2)
    device.deploy(an_application())
    device.deploy(broken, revision=2)
    creates = engine.calls.count("create")

    device.start_again()
    device.settle()
    assert engine.calls.count("create") == creates

    result = device.deploy(broken, revision=3)
    assert engine.calls.count("create") == creates + 1
    assert result.statuses[0].state is ApplicationState.ROLLED_BACK


def test_a_first_deployment_that_fails_leaves_it_stopped_for_its_logs_and_makes_way_for_the_next(
    device: Device, engine: FakeEngine
) -> None:
    failed = device.deploy(an_application(image_name="broken:v1", healthy_window_s=2))
    assert failed.statuses[0].state is ApplicationState.FAILED
    assert failed.statuses[0].rollback is None
    assert engine.named(current()).state == "exited"

    result = device.deploy(an_application(), revision=2)

    assert result.statuses[0].state is ApplicationState.RUNNING
    assert [each.name for each in engine.all.values()] == [current()]


def test_one_that_keeps_crashing_is_not_taken_for_healthy_between_two_crashes(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    device.desire(a_document(an_application(image_name="crashing:v1", healthy_window_s=10), revision=2))
    while not (result := device.reconciler.converge()).settled:
        container = engine.named(current())
        if container.spec.image == image("crashing:v1"):
            if container.state == "restarting":
                engine.run_again(container)
            else:
                engine.end(container, 1)
        device.clock.passed_s += 1.0

    assert result.statuses[0].state is ApplicationState.ROLLED_BACK
    assert result.statuses[0].code == "crash-loop"


def test_an_image_for_another_machine_is_named_so_without_waiting_for_the_window(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    before = device.clock.passed_s

    result = device.deploy(an_application(image_name="foreign_machine:v1", healthy_window_s=600), revision=2)

    assert result.statuses[0].rollback is not None
    assert result.statuses[0].rollback.code == "wrong-architecture"
    assert device.clock.passed_s - before < 60


@pytest.mark.parametrize("restart", ["no", "unless-stopped"])
def test_one_that_has_ended_is_not_taken_for_good_because_the_list_still_has_it_running(
    device: Device, engine: FakeEngine, restart: str
) -> None:
    device.deploy(an_application())
    engine.lags = True

    result = device.deploy(an_application(image_name="foreign_machine:v1", restart=restart), revision=2)

    assert (result.statuses[0].state, result.statuses[0].code) == (
        ApplicationState.ROLLED_BACK,
        "wrong-architecture",
    )


def test_a_job_that_ends_well_is_done_and_not_started_again(device: Device, engine: FakeEngine) -> None:
    result = device.deploy(an_application(image_name="job:v1", restart="no"))
    device.start_again()
    device.settle()

    assert result.statuses[0].state is ApplicationState.STOPPED
    assert result.statuses[0].code is None
    assert engine.named(current()).starts == 1


def test_a_job_to_be_restarted_on_failure_is_done_when_it_ends_well(
    device: Device, engine: FakeEngine
) -> None:
    result = device.deploy(an_application(image_name="job:v1", restart="on-failure"))

    assert result.statuses[0].state == ApplicationState.STOPPED
    assert result.statuses[0].code is None
    assert engine.named(current()).starts == 1


def test_one_to_be_restarted_on_failure_is_started_again_after_it_was_killed(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application(restart="on-failure"))
    container = engine.named(current())
    engine.stop(container.id, 1)  # as a power cut would: it ends with other than 0

    device.settle()

    assert (container.state, container.starts) == ("running", 2)


@pytest.mark.parametrize("code", [200, 399, 400, 503, None])
def test_an_http_check_passes_on_200_to_399_asked_at_the_containers_own_address(
    code: int | None, engine: FakeEngine, tmp_path: Path
) -> None:
    asked: list[tuple[str, int, str, float]] = []

    def ask(address: str, port: int, path: str, timeout_s: float) -> int:
        asked.append((address, port, path, timeout_s))
        if code is None:
            raise OSError("connection refused")
        return code

    device = Device(engine, tmp_path, prober=Prober(http_probe=ask))
    check = {"kind": "http", "port": 8080, "path": "/health", "timeout_s": 1.5}
    result = device.deploy(an_application(health_check=check, healthy_window_s=5))

    good = code in (200, 399)
    assert asked[0] == ("172.17.0.2", 8080, "/health", 1.5)
    assert result.statuses[0].state is (ApplicationState.RUNNING if good else ApplicationState.FAILED)
    if not good:
        assert result.statuses[0].message is not None
        assert (str(code) if code else "refused") in result.statuses[0].message


def test_a_healthy_application_may_miss_two_answers_and_not_three(engine: FakeEngine, tmp_path: Path) -> None:
    answer = 200

    def ask(*_: object) -> int:
        return answer

    device = Device(engine, tmp_path, prober=Prober(http_probe=ask))
    device.deploy(an_application(health_check={"kind": "http", "port": 80, "interval_s": 5}, restart="no"))
    answer = 500
    states = []
    for _ in range(3):
        device.clock.passed_s += 5.0
        states.append(device.reconciler.converge().statuses[0].state)

    assert states == [ApplicationState.RUNNING, ApplicationState.RUNNING, ApplicationState.UNHEALTHY]


def test_an_image_nobody_has_leaves_the_running_container_and_says_so(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())

    result = device.deploy(an_application(image_name="ghost:v1"), revision=2)

    [status] = result.statuses
    assert status.state is ApplicationState.ROLLED_BACK
    assert status.rollback is not None
    assert status.rollback.code == "image-not-found"
    assert engine.named(current()).state == "running"
    assert engine.calls.count("pull") == 2


def test_an_unreachable_registry_is_asked_for_ever_ever_more_rarely_and_the_report_says_when(
    device: Device, engine: FakeEngine
) -> None:
    engine.pull_errors[image("hello:v1")] = RegistryUnreachable("connection refused")
    device.desire(a_document(an_application()))

    waits = []
    for _ in range(9):
        result = device.reconciler.converge()
        [status] = result.statuses
        assert (status.state, status.code) == (ApplicationState.PULLING, "registry-unreachable")
        assert status.next_try_at is not None
        waits.append((status.next_try_at - device.clock.now()).total_seconds())
        device.clock.passed_s += waits[-1]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]

    del engine.pull_errors[image("hello:v1")]
    assert device.settle().statuses[0].state is ApplicationState.RUNNING


def test_a_refused_login_is_replaced_once_and_a_refused_fresh_one_is_final(
    engine: FakeEngine, tmp_path: Path
) -> None:
    engine.pull_errors[image("hello:v1")] = RegistryDenied("denied")
    credentials = FakeCredentials()
    device = Device(engine, tmp_path, credentials=credentials)

    result = device.deploy(an_application())

    assert result.statuses[0].state is ApplicationState.FAILED
    assert result.statuses[0].code == "registry-denied"
    assert credentials.asked == [(HOST, False), (HOST, True)]
    assert [login.password for login in engine.logins if login] == ["token-0", "token-1"]


def test_missing_credentials_are_waited_for(engine: FakeEngine, tmp_path: Path) -> None:
    credentials = FakeCredentials()
    credentials.error = CredentialsUnavailable("token-exchange-unavailable")
    device = Device(engine, tmp_path, credentials=credentials)
    device.desire(a_document(an_application()))

    assert device.reconciler.converge().statuses[0].code == "token-exchange-unavailable"

    credentials.error = None
    assert device.settle().statuses[0].state is ApplicationState.RUNNING


@pytest.mark.parametrize(
    ("code", "within_s"), [("no-credentials", 60.0), ("timeout", 600.0)], ids=["credentials", "others"]
)
def test_however_long_credentials_were_missing_a_minute_after_they_are_back_things_go_on(
    engine: FakeEngine, tmp_path: Path, code: str, within_s: float
) -> None:
    credentials = FakeCredentials()
    credentials.error = CredentialsUnavailable(code)
    device = Device(engine, tmp_path, credentials=credentials)
    device.desire(a_document(an_application()))
    with pytest.raises(AssertionError, match="not settled"):
        device.settle(within_s=7_200.0)

    credentials.error = None
    gone_s = device.clock.passed_s
    device.settle(within_s=within_s + 10.0)

    assert device.clock.passed_s - gone_s <= within_s + 10.0
    assert (code == "no-credentials") == (len(credentials.asked) > 60)


def test_a_full_disk_is_tried_a_few_times_and_then_given_up(device: Device, engine: FakeEngine) -> None:
    engine.pull_errors[image("hello:v1")] = DiskFull("no space left on device")

    result = device.deploy(an_application())

    assert (result.statuses[0].state, result.statuses[0].code) == (ApplicationState.FAILED, "disk-full")
    assert engine.calls.count("pull") == 5


def test_an_image_that_is_here_needs_no_registry(device: Device, engine: FakeEngine) -> None:
    engine.images[image("hello:v1")] = FakeImage()

    device.deploy(an_application())

    assert "pull" not in engine.calls


def test_a_mirror_is_pulled_from_and_the_report_keeps_the_registrys_name(
    engine: FakeEngine, tmp_path: Path
) -> None:
    mirrored = image("hello:v1").replace(HOST, "127.0.0.1:5000")
    engine.registry = {mirrored: FakeImage()}
    credentials = FakeCredentials()
    device = Device(engine, tmp_path, credentials=credentials, registry_mirrors={HOST: "127.0.0.1:5000"})

    result = device.deploy(an_application())

    assert result.statuses[0].image == image("hello:v1")
    assert engine.named(current()).spec.image == mirrored
    assert credentials.asked == [(HOST, False)]


def test_an_application_no_longer_wanted_is_removed_and_nobody_else(
    device: Device, engine: FakeEngine
) -> None:
    foreign = engine.add_foreign("somebody-elses")
    device.deploy(an_application("a"), an_application("b"))

    result = device.deploy(an_application("b"), revision=2)

    assert [status.name for status in result.statuses] == ["b"]
    assert {each.name for each in engine.all.values()} == {current("b"), "somebody-elses"}
    assert foreign.state == "running"


def test_an_empty_document_removes_ours_and_no_document_touches_nothing(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())

    device.desire(None)
    unmanaged = device.settle()
    assert [(status.name, status.state) for status in unmanaged.statuses] == [
        ("web", ApplicationState.RUNNING)
    ]
    engine.named(current()).state = "exited"
    assert device.settle().statuses[0].state is ApplicationState.STOPPED
    assert engine.named(current()).state == "exited"

    assert device.deploy(revision=2).statuses == ()
    assert engine.all == {}


def test_a_stopped_container_of_a_wanted_application_is_started_again(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    engine.named(current()).state = "exited"

    assert device.settle().statuses[0].state is ApplicationState.RUNNING
    assert engine.calls.count("create") == 1


def test_a_removed_container_of_a_wanted_application_is_made_again(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    engine.all.clear()

    assert device.settle().statuses[0].state is ApplicationState.RUNNING


def test_a_restarted_agent_adopts_what_runs_and_recreates_nothing(device: Device, engine: FakeEngine) -> None:
    device.deploy(an_application("a"), an_application("b"))
    before = {each.id: each.starts for each in engine.all.values()}

    device.start_again()
    device.settle()

    assert {each.id: each.starts for each in engine.all.values()} == before


def test_an_agent_that_lost_its_memory_adopts_what_runs_even_if_it_is_unhealthy(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    engine.named(current()).health = "unhealthy"
    (device.folder / "applications.json").write_bytes(b"\x00torn")

    device.start_again()
    result = device.settle()

    assert result.statuses[0].state is ApplicationState.UNHEALTHY
    assert engine.calls.count("create") == 1


@pytest.mark.parametrize("suffix", ["current", "previous"])
def test_a_foreign_container_with_our_name_fails_that_application_only_and_is_left_alone(
    suffix: str, device: Device, engine: FakeEngine
) -> None:
    if suffix == "previous":
        device.deploy(an_application("web"))
    foreign = engine.add_foreign(current("web") if suffix == "current" else previous("web"))

    result = device.deploy(an_application("web", image_name="hello:v2"), an_application("b"), revision=2)

    web, b = result.statuses
    assert web.state is (ApplicationState.FAILED if suffix == "current" else ApplicationState.ROLLED_BACK)
    assert web.code == "name-taken"
    assert b.state is ApplicationState.RUNNING
    assert engine.all[foreign.id].state == "running"


def test_a_port_taken_by_a_stranger_rolls_the_update_back(device: Device, engine: FakeEngine) -> None:
    device.deploy(an_application(ports=[{"container_port": 80, "host_port": 8080}]))
    engine.taken_ports.add(8081)

    result = device.deploy(an_application(ports=[{"container_port": 80, "host_port": 8081}]), revision=2)

    assert result.statuses[0].state is ApplicationState.ROLLED_BACK
    assert result.statuses[0].code == "port-taken"
    assert engine.named(current()).ports[0].host_port == 8080


def test_two_applications_can_swap_their_ports_in_one_deployment(device: Device, engine: FakeEngine) -> None:
    def application(name: str, port: int) -> object:
        return an_application(name, ports=[{"container_port": 80, "host_port": port}])

    device.deploy(application("a", 8080), application("b", 8081))  # type: ignore[arg-type]

    result = device.deploy(application("a", 8081), application("b", 8080), revision=2)  # type: ignore[arg-type]

    assert [(status.state, status.ports[0].host_port) for status in result.statuses] == [
        (ApplicationState.RUNNING, 8081),
        (ApplicationState.RUNNING, 8080),
    ]


def test_a_failure_of_one_application_holds_up_no_other(device: Device, engine: FakeEngine) -> None:
    engine.start_errors[image("hello:v2")] = PortTaken("port is already allocated")

    device.desire(a_document(an_application("a", image_name="hello:v2"), an_application("b")))
    result = device.reconciler.converge()

    assert result.statuses[0].code == "port-taken"
    assert engine.named(current("b")).state == "running"


def test_an_engine_that_is_down_is_reported_and_met_again_when_it_returns(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    engine.available = False

    down = device.reconciler.converge()
    assert down.engine == "unavailable"
    assert [(status.name, status.code) for status in down.statuses] == [("web", "engine-unavailable")]
    assert not down.settled

    engine.available = True
    assert device.settle().statuses[0].code is None


def test_an_engine_that_is_down_at_the_start_is_waited_for(device: Device, engine: FakeEngine) -> None:
    engine.available = False
    device.desire(a_document(an_application()))
    assert device.reconciler.converge().statuses[0].state is ApplicationState.PENDING

    engine.available = True
    assert device.settle().statuses[0].state is ApplicationState.RUNNING


def test_going_back_to_the_previous_one_during_a_trial_brings_that_container_back(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    old = engine.named(current()).id
    device.desire(a_document(an_application(image_name="broken:v1"), revision=2))
    for _ in range(3):
        device.reconciler.converge()
        device.clock.passed_s += 1.0
    assert engine.named(previous()).id == old

    result = device.deploy(an_application(), revision=3)

    assert result.statuses[0].state is ApplicationState.RUNNING
    assert result.statuses[0].rollback is None
    assert [(each.id, each.name) for each in engine.all.values()] == [(old, current())]


def test_a_third_one_during_a_trial_keeps_the_proven_one_as_previous(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    old = engine.named(current()).id
    device.desire(a_document(an_application(image_name="broken:v1"), revision=2))
    device.reconciler.converge()
    device.clock.passed_s += 1.0

    result = device.deploy(an_application(image_name="crashing:v1", healthy_window_s=5), revision=3)

    assert result.statuses[0].state is ApplicationState.ROLLED_BACK
    assert [(each.id, each.name) for each in engine.all.values()] == [(old, current())]


def test_the_end_of_a_pull_is_told(engine: FakeEngine, tmp_path: Path) -> None:
    later = Later()
    told: list[bool] = []
    device = Device(engine, tmp_path, workers=later, on_progress=lambda: told.append(True))
    device.desire(a_document(an_application()))
    device.reconciler.converge()
    assert told == []

    later.let_go()

    assert told == [True]


def test_an_image_that_was_here_for_an_earlier_revision_is_looked_for_again_before_anything_is_moved(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    device.deploy(an_application(image_name="hello:v2"), revision=2)
    del engine.images[image("hello:v1")]  # collected, or removed by a person
    engine.calls.clear()

    device.deploy(an_application(), revision=3)

    assert engine.calls.index("pull") < engine.calls.index("rename")
    assert engine.calls.count("create") == 1


def test_a_pass_looks_once_and_plans_once_where_there_is_nothing_to_do(
    device: Device, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.deploy(an_application())
    plans: list[Plan] = []

    def counted(snapshot: Snapshot) -> Plan:
        plans.append(plan(snapshot))
        return plans[-1]

    monkeypatch.setattr(reconciler, "plan", counted)
    engine.calls.clear()

    assert device.reconciler.converge().converged

    assert engine.calls.count("list") == len(plans) == 1
