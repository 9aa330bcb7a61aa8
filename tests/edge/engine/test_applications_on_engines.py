"""Applications from desired document to HTTP answer, with the real adapter on engines that answer HTTP."""

from pathlib import Path
from urllib.request import urlopen

import pytest

from contract.reports import ApplicationState, ApplicationStatus
from edge.host.disk_space import DiskSpace
from tests.support.engine.agents import Agent
from tests.support.engine.counting_proxy import CountingProxy
from tests.support.engine.harness import EngineHarness

pytestmark = pytest.mark.slow


def page(status: ApplicationStatus) -> bytes:
    [port] = status.ports
    with urlopen(f"http://{port.address}:{port.host_port}/", timeout=5) as answer:
        return bytes(answer.read())


PORTS = [{"container_port": 8080}]


def test_a_deployment_is_served_replaced_rolled_back_and_removed_beside_a_neighbour(agent: Agent) -> None:
    neighbour = EngineHarness(
        agent.harness.engine, agent.registry.reference, False, f"neighbour-of-{agent.harness.thing}"
    )
    theirs = neighbour.create()
    neighbour.engine.start(theirs)

    [first] = agent.deploy(agent.application("server", ports=PORTS)).statuses
    assert first.state is ApplicationState.RUNNING
    assert page(first) == b"hello\n"

    [second] = agent.deploy(agent.application("healthy", ports=PORTS)).statuses
    assert second.state is ApplicationState.RUNNING
    assert second.container_id != first.container_id
    assert page(second) == b"hello\n"

    [third] = agent.deploy(agent.application("unhealthy", ports=PORTS)).statuses
    assert third.state is ApplicationState.ROLLED_BACK
    assert third.container_id == second.container_id
    assert third.rollback is not None
    assert third.rollback.code == "unhealthy"
    assert page(third) == b"hello\n"

    assert agent.deploy().statuses == ()
    assert agent.harness.engine.containers(agent.harness.thing) == []
    [left] = neighbour.engine.containers(neighbour.thing)
    assert (left.id, left.state) == (theirs, "running")


def test_an_agent_that_starts_again_adopts_what_runs(agent: Agent) -> None:
    [before] = agent.deploy(agent.application("server", ports=PORTS)).statuses

    agent.start_again()

    assert agent.settle().statuses == (before,)


def test_a_process_that_keeps_ending_fails_its_first_deployment(agent: Agent) -> None:
    failing = agent.application("failing")
    patient = failing.model_copy(update={"healthy_window_s": failing.healthy_window_s * 3})
    [status] = agent.deploy(patient).statuses

    assert (status.state, status.code) == (ApplicationState.FAILED, "crash-loop")
    assert [each.state for each in agent.harness.engine.containers(agent.harness.thing)] == ["exited"]


@pytest.mark.parametrize("strategy", ["download-then-kill", "kill-then-download"])
def test_an_image_for_another_machine_is_refused_by_name_with_nothing_stopped(
    agent: Agent, strategy: str
) -> None:
    [before] = agent.deploy(agent.application("server")).statuses
    [container] = agent.harness.engine.containers(agent.harness.thing)
    started_at = agent.harness.engine.container_run(container.id).started_at

    [status] = agent.deploy(agent.application("foreign-machine", update_strategy=strategy)).statuses

    assert (status.state, status.code) == (ApplicationState.ROLLED_BACK, "wrong-architecture")
    assert status.container_id == before.container_id
    assert agent.harness.engine.container_run(container.id).started_at == started_at


def test_an_image_for_another_machine_that_is_here_already_rolls_back_and_is_named_so(agent: Agent) -> None:
    agent.deploy(agent.application("server"))
    agent.harness.engine.pull(agent.harness.reference("foreign-machine"), agent.harness.login)

    [status] = agent.deploy(agent.application("foreign-machine")).statuses

    assert (status.state, status.code) == (ApplicationState.ROLLED_BACK, "wrong-architecture")


@pytest.mark.parametrize("count", [1, 5])
def test_a_pass_with_nothing_to_do_is_one_request(agent: Agent, proxy: CountingProxy, count: int) -> None:
    agent.deploy(*(agent.application("server", f"app-{i}") for i in range(count)))
    before = len(proxy.requests)

    for _ in range(3):
        assert agent.reconciler.converge().settled

    asked = proxy.requests[before:]
    assert len(asked) == 3
    assert all("/containers/json?" in each for each in asked)


def test_an_engine_that_stops_answering_is_unavailable_and_met_again(
    agent: Agent, proxy: CountingProxy, host: str, tmp_path: Path
) -> None:
    agent.deploy(agent.application("server"))
    proxy.stop()
    agent.engine.close()
    assert agent.reconciler.converge().engine == "unavailable"

    (tmp_path / "proxy.sock").unlink()
    again = CountingProxy(tmp_path / "proxy.sock", host)
    assert agent.settle().statuses[0].state is ApplicationState.RUNNING
    again.stop()


def test_on_a_full_disk_the_image_that_nobody_needs_any_more_makes_room(agent: Agent) -> None:
    gib = 1 << 30
    server, healthy, deaf = (agent.registry.reference(each) for each in ("server", "healthy", "deaf"))
    for reference in (server, healthy, deaf):
        assert agent.engine.remove_image(reference)

    def disk() -> DiskSpace:
        here = sum(agent.engine.has_image(each) for each in (server, healthy, deaf))
        return DiskSpace(10 * gib, 5 * gib // 2 - here * gib)  # room for two, and for a pull after one

    agent.disk = disk
    for image in ("server", "healthy", "deaf"):
        [status] = agent.deploy(agent.application(image)).statuses
        assert status.state is ApplicationState.RUNNING

    assert [agent.engine.has_image(each) for each in (server, healthy, deaf)] == [False, True, True]


def test_a_container_keeps_itself_from_being_replaced_by_a_file_in_its_lock_folder(agent: Agent) -> None:
    lock = agent.folder / "locks" / "web" / "lock"
    locking = "trap 'exit 0' TERM; : > /run/fleetgrass/lock; while :; do sleep 1; done"
    first = agent.deploy(agent.application("server", command=["sh", "-c", locking], update_lock=True))
    if agent.harness.simulated:
        lock.touch()  # as the container's process does on a real engine
    agent.until(lambda found: found.locked)

    agent.desire(agent.application("healthy", update_lock=True))
    waiting = agent.until(lambda found: found.statuses[0].code == "update-locked")
    assert waiting.statuses[0].container_id == first.statuses[0].container_id

    lock.unlink()
    assert agent.settle().statuses[0].container_id != first.statuses[0].container_id
