"""What the agent may expect of any engine; the same for the fake, the simulated and the real one."""

import time
from collections.abc import Callable
from urllib.request import urlopen

import pytest

from edge.ports.engine import (
    LABEL_APPLICATION,
    LABEL_THING,
    Container,
    Credentials,
    Mount,
    PortBinding,
    Volume,
)
from edge.ports.engine_errors import (
    CommandNotFound,
    ContainerGone,
    ImageMissing,
    ImageNotFound,
    NameTaken,
    PortTaken,
    RegistryDenied,
    RegistryUnreachable,
    VolumeInUse,
)
from tests.support.engine.harness import EngineHarness

NOBODY = "f" * 64


def only(harness: EngineHarness) -> Container:
    [container] = harness.engine.containers(harness.thing)
    return container


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether the condition came true: containers are other processes with clocks of their own."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def test_it_says_what_it_is(harness: EngineHarness) -> None:
    information = harness.engine.information()

    assert information.version[0].isdigit()
    assert information.architecture in ("amd64", "arm64", "arm")
    assert information.data_root.startswith("/")


def test_a_created_container_is_listed_with_its_labels_and_does_not_run(harness: EngineHarness) -> None:
    container_id = harness.create(env={"A": "b"})

    container = only(harness)
    assert (container.id, container.name, container.state) == (container_id, harness.name(), "created")
    assert container.labels[LABEL_THING] == harness.thing
    assert container.labels[LABEL_APPLICATION] == "web"
    assert not container.alive
    assert container.ports == ()


def test_only_the_things_own_containers_are_listed(harness: EngineHarness) -> None:
    harness.create()

    assert harness.engine.containers(f"not-{harness.thing}") == []
    assert harness.engine.containers(harness.thing[:-1]) == []


def test_a_started_container_runs_at_its_address_with_its_ports_where_they_were_asked_for(
    harness: EngineHarness,
) -> None:
    harness.engine.start(harness.create(ports=(PortBinding(8080, address="127.0.0.1"),)))

    container = only(harness)
    assert container.state == "running"
    assert container.alive
    assert container.address is not None
    [port] = container.ports
    assert (port.container_port, port.protocol, port.address) == (8080, "tcp", "127.0.0.1")
    assert port.host_port
    if not harness.simulated:
        with urlopen(f"http://127.0.0.1:{port.host_port}/", timeout=5) as page:
            assert page.read() == b"hello\n"
        with urlopen(f"http://{container.address}:8080/", timeout=5) as page:
            assert page.read() == b"hello\n"


def test_what_is_already_so_is_a_success(harness: EngineHarness) -> None:
    container_id = harness.create()

    harness.engine.stop(container_id, 1)
    harness.engine.start(container_id)
    harness.engine.start(container_id)
    harness.engine.stop(container_id, 1)
    harness.engine.stop(container_id, 1)
    harness.engine.remove(container_id)
    harness.engine.remove(container_id)

    assert harness.engine.containers(harness.thing) == []


def test_a_stopped_container_has_ended_and_stays_so(harness: EngineHarness) -> None:
    container_id = harness.create(restart="unless-stopped")
    harness.engine.start(container_id)

    harness.engine.stop(container_id, 1)

    assert only(harness).state == "exited"
    assert harness.engine.container_run(container_id).exit_code is not None


def test_whoever_listens_hears_of_starts_and_ends_of_the_things_own_containers(
    harness: EngineHarness,
) -> None:
    container_id = harness.create()

    with harness.engine.listen(harness.thing) as changes:
        harness.engine.start(container_id)
        harness.engine.stop(container_id, 1)
        harness.engine.remove(container_id)

        assert [next(changes), next(changes), next(changes)] == ["start", "die", "destroy"]


def test_a_running_container_can_be_removed(harness: EngineHarness) -> None:
    container_id = harness.create()
    harness.engine.start(container_id)

    harness.engine.remove(container_id)

    assert harness.engine.containers(harness.thing) == []


def test_a_renamed_container_keeps_running_and_frees_its_name(harness: EngineHarness) -> None:
    container_id = harness.create()
    harness.engine.start(container_id)

    harness.engine.rename(container_id, harness.name("web.previous"))
    harness.create()

    states = {container.name: container.state for container in harness.engine.containers(harness.thing)}
    assert states == {harness.name("web.previous"): "running", harness.name(): "created"}


def test_a_name_is_given_once(harness: EngineHarness) -> None:
    harness.create("a")
    other = harness.create("b")

    with pytest.raises(NameTaken):
        harness.engine.create(harness.spec("a"))
    with pytest.raises(NameTaken):
        harness.engine.rename(other, harness.name("a"))


def test_the_labels_behind_a_name_are_told_whoever_has_it(harness: EngineHarness) -> None:
    harness.create()

    labels = harness.engine.labels_of(harness.name())
    assert labels is not None
    assert labels[LABEL_THING] == harness.thing
    assert harness.engine.labels_of(harness.name("nobody")) is None


def test_a_container_that_is_gone_is_called_so(harness: EngineHarness) -> None:
    with pytest.raises(ContainerGone):
        harness.engine.start(NOBODY)
    with pytest.raises(ContainerGone):
        harness.engine.stop(NOBODY, 1)
    with pytest.raises(ContainerGone):
        harness.engine.rename(NOBODY, harness.name())
    with pytest.raises(ContainerGone):
        harness.engine.container_run(NOBODY)


def test_a_port_that_another_container_has_is_called_taken(harness: EngineHarness) -> None:
    harness.engine.start(harness.create("a", ports=(PortBinding(8080, address="127.0.0.1"),)))
    taken = only(harness).ports[0].host_port

    second = harness.create("b", ports=(PortBinding(8080, taken, address="127.0.0.1"),))
    with pytest.raises(PortTaken):
        harness.engine.start(second)


def test_an_image_is_here_after_its_pull_and_a_container_needs_it(harness: EngineHarness) -> None:
    reference = harness.reference("job")
    if not harness.engine.has_image(reference):
        with pytest.raises(ImageMissing):
            harness.engine.create(harness.spec(image="job"))
        harness.engine.pull(reference, harness.login)

    assert harness.engine.has_image(reference)


def test_a_running_container_takes_memory_and_one_that_does_not_run_takes_nothing(
    harness: EngineHarness,
) -> None:
    container_id = harness.create()
    assert harness.engine.usage(container_id) is None

    harness.engine.start(container_id)

    usage = harness.engine.usage(container_id[:12])
    assert usage is not None
    assert usage.memory_bytes > 0
    assert usage.cpu_s >= 0
    with pytest.raises(ContainerGone):
        harness.engine.usage(NOBODY)


def test_an_image_goes_only_when_no_container_uses_it(harness: EngineHarness) -> None:
    reference = harness.reference("job")
    container_id = harness.create(image="job")

    assert harness.engine.image_id(reference) in harness.engine.images_in_use()
    assert not harness.engine.remove_image(reference)
    assert harness.engine.has_image(reference)

    harness.engine.remove(container_id)

    assert harness.engine.image_id(reference) not in harness.engine.images_in_use()
    assert harness.engine.remove_image(reference)
    assert harness.engine.remove_image(reference)
    assert not harness.engine.has_image(reference)
    assert harness.engine.image_id(reference) is None


def test_a_pull_tells_how_far_it_has_come_and_never_goes_back(harness: EngineHarness) -> None:
    heard: list[int] = []

    harness.engine.pull(harness.reference("job"), harness.login, heard.append)

    assert heard == sorted(heard)
    assert heard
    assert all(0 <= percent <= 100 for percent in heard)


def test_pulls_that_cannot_succeed_are_told_apart(harness: EngineHarness) -> None:
    reference = harness.reference("server")

    with pytest.raises(RegistryDenied):
        harness.engine.pull(reference.replace("server", "other"), Credentials("AWS", "expired"))
    with pytest.raises(RegistryDenied):
        harness.engine.pull(reference.replace("server", "other"), None)
    with pytest.raises(ImageNotFound):
        harness.engine.pull(reference.partition("@")[0] + "@sha256:" + "0" * 64, harness.login)
    with pytest.raises(RegistryUnreachable):
        harness.engine.pull("127.0.0.1:9/nobody@sha256:" + "0" * 64, harness.login)


@pytest.mark.parametrize(
    ("image", "health"), [("server", "none"), ("healthy", "healthy"), ("unhealthy", "unhealthy")]
)
def test_the_list_tells_what_the_images_health_check_says(
    harness: EngineHarness, image: str, health: str
) -> None:
    harness.engine.start(harness.create(image=image))

    assert eventually(lambda: only(harness).health == health)


@pytest.mark.parametrize(("image", "exit_code"), [("failing", 1), ("job", 0)])
def test_a_process_that_ends_leaves_its_exit_code(harness: EngineHarness, image: str, exit_code: int) -> None:
    container_id = harness.create(image=image, restart="no")
    harness.engine.start(container_id)

    assert eventually(lambda: only(harness).state == "exited")
    container_run = harness.engine.container_run(container_id)
    assert (container_run.exit_code, container_run.restarts, container_run.out_of_memory) == (
        exit_code,
        0,
        False,
    )


def test_a_process_that_keeps_ending_is_restarted_and_every_start_is_told_apart(
    harness: EngineHarness,
) -> None:
    container_id = harness.create(image="failing", restart="unless-stopped")
    harness.engine.start(container_id)
    first = harness.engine.container_run(container_id).started_at

    assert eventually(lambda: harness.engine.container_run(container_id).restarts >= 1)
    if not harness.simulated:
        assert eventually(lambda: harness.engine.container_run(container_id).started_at != first)
    harness.engine.stop(container_id, 1)
    assert only(harness).state == "exited"


def test_an_image_for_another_machine_is_told_by_its_course(harness: EngineHarness) -> None:
    container_id = harness.create(image="foreign-machine", restart="no")
    harness.engine.start(container_id)

    assert eventually(lambda: only(harness).state == "exited")
    assert harness.engine.container_run(container_id).wrong_architecture


def test_a_command_that_the_image_does_not_have_is_told(harness: EngineHarness) -> None:
    container_id = harness.create(image="no-command", restart="no")
    try:
        harness.engine.start(container_id)
    except CommandNotFound:
        return

    assert eventually(lambda: only(harness).state == "exited")
    assert harness.engine.container_run(container_id).exit_code == 127
    assert not harness.engine.container_run(container_id).wrong_architecture


@pytest.mark.parametrize(("image", "again"), [("failing", True), ("job", False)])
def test_on_failure_starts_again_what_failed_and_leaves_what_is_done(
    harness: EngineHarness, image: str, again: bool
) -> None:
    container_id = harness.create(image=image, restart="on-failure")
    harness.engine.start(container_id)

    if again:
        assert eventually(lambda: harness.engine.container_run(container_id).restarts >= 1)
    else:
        assert eventually(lambda: (only(harness).state, only(harness).exit_code) == ("exited", 0))


def test_a_volume_is_listed_by_its_label_and_deleted_when_nobody_has_it(harness: EngineHarness) -> None:
    name = f"{harness.thing}.data"
    mount = Mount("volume", name, "/data", labels={LABEL_THING: harness.thing, "more": "1"})
    container_id = harness.create(mounts=(mount,))

    assert harness.engine.volumes(harness.thing) == [Volume(name, mount.labels)]
    assert harness.engine.volumes(harness.thing[:-1]) == []
    with pytest.raises(VolumeInUse):
        harness.engine.remove_volume(name)
    harness.engine.remove(container_id)
    assert [volume.name for volume in harness.engine.volumes(harness.thing)] == [name]
    harness.engine.remove_volume(name)
    harness.engine.remove_volume(name)
    assert harness.engine.volumes(harness.thing) == []


def test_the_output_of_a_container_that_is_gone_is_said_to_be_gone(harness: EngineHarness) -> None:
    with pytest.raises(ContainerGone), harness.engine.output(NOBODY, []):
        pass
