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
from tests.support.engine.worlds import World

NOBODY = "f" * 64


def only(world: World) -> Container:
    [container] = world.engine.containers(world.thing)
    return container


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether the condition came true: containers are other processes with clocks of their own."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def test_it_says_what_it_is(world: World) -> None:
    information = world.engine.information()

    assert information.version[0].isdigit()
    assert information.architecture in ("amd64", "arm64", "arm")
    assert information.data_root.startswith("/")


def test_a_created_container_is_listed_with_its_labels_and_does_not_run(world: World) -> None:
    container_id = world.create(env={"A": "b"})

    container = only(world)
    assert (container.id, container.name, container.state) == (container_id, world.name(), "created")
    assert container.labels[LABEL_THING] == world.thing
    assert container.labels[LABEL_APPLICATION] == "web"
    assert not container.alive
    assert container.ports == ()


def test_only_the_things_own_containers_are_listed(world: World) -> None:
    world.create()

    assert world.engine.containers(f"not-{world.thing}") == []
    assert world.engine.containers(world.thing[:-1]) == []


def test_a_started_container_runs_at_its_address_with_its_ports_where_they_were_asked_for(
    world: World,
) -> None:
    world.engine.start(world.create(ports=(PortBinding(8080, address="127.0.0.1"),)))

    container = only(world)
    assert container.state == "running"
    assert container.alive
    assert container.address is not None
    [port] = container.ports
    assert (port.container_port, port.protocol, port.address) == (8080, "tcp", "127.0.0.1")
    assert port.host_port
    if not world.simulated:
        with urlopen(f"http://127.0.0.1:{port.host_port}/", timeout=5) as page:
            assert page.read() == b"hello\n"
        with urlopen(f"http://{container.address}:8080/", timeout=5) as page:
            assert page.read() == b"hello\n"


def test_what_is_already_so_is_a_success(world: World) -> None:
    container_id = world.create()

    world.engine.stop(container_id, 1)
    world.engine.start(container_id)
    world.engine.start(container_id)
    world.engine.stop(container_id, 1)
    world.engine.stop(container_id, 1)
    world.engine.remove(container_id)
    world.engine.remove(container_id)

    assert world.engine.containers(world.thing) == []


def test_a_stopped_container_has_ended_and_stays_so(world: World) -> None:
    container_id = world.create(restart="unless-stopped")
    world.engine.start(container_id)

    world.engine.stop(container_id, 1)

    assert only(world).state == "exited"
    assert world.engine.course(container_id).exit_code is not None


def test_whoever_listens_hears_of_starts_and_ends_of_the_things_own_containers(world: World) -> None:
    container_id = world.create()

    with world.engine.listen(world.thing) as changes:
        world.engine.start(container_id)
        world.engine.stop(container_id, 1)
        world.engine.remove(container_id)

        assert [next(changes), next(changes), next(changes)] == ["start", "die", "destroy"]


def test_a_running_container_can_be_removed(world: World) -> None:
    container_id = world.create()
    world.engine.start(container_id)

    world.engine.remove(container_id)

    assert world.engine.containers(world.thing) == []


def test_a_renamed_container_keeps_running_and_frees_its_name(world: World) -> None:
    container_id = world.create()
    world.engine.start(container_id)

    world.engine.rename(container_id, world.name("web.previous"))
    world.create()

    states = {container.name: container.state for container in world.engine.containers(world.thing)}
    assert states == {world.name("web.previous"): "running", world.name(): "created"}


def test_a_name_is_given_once(world: World) -> None:
    world.create("a")
    other = world.create("b")

    with pytest.raises(NameTaken):
        world.engine.create(world.spec("a"))
    with pytest.raises(NameTaken):
        world.engine.rename(other, world.name("a"))


def test_the_labels_behind_a_name_are_told_whoever_has_it(world: World) -> None:
    world.create()

    labels = world.engine.labels_of(world.name())
    assert labels is not None
    assert labels[LABEL_THING] == world.thing
    assert world.engine.labels_of(world.name("nobody")) is None


def test_a_container_that_is_gone_is_called_so(world: World) -> None:
    with pytest.raises(ContainerGone):
        world.engine.start(NOBODY)
    with pytest.raises(ContainerGone):
        world.engine.stop(NOBODY, 1)
    with pytest.raises(ContainerGone):
        world.engine.rename(NOBODY, world.name())
    with pytest.raises(ContainerGone):
        world.engine.course(NOBODY)


def test_a_port_that_another_container_has_is_called_taken(world: World) -> None:
    world.engine.start(world.create("a", ports=(PortBinding(8080, address="127.0.0.1"),)))
    taken = only(world).ports[0].host_port

    second = world.create("b", ports=(PortBinding(8080, taken, address="127.0.0.1"),))
    with pytest.raises(PortTaken):
        world.engine.start(second)


def test_an_image_is_here_after_its_pull_and_a_container_needs_it(world: World) -> None:
    reference = world.reference("job")
    if not world.engine.has_image(reference):
        with pytest.raises(ImageMissing):
            world.engine.create(world.spec(image="job"))
        world.engine.pull(reference, world.login)

    assert world.engine.has_image(reference)


def test_a_running_container_takes_memory_and_one_that_does_not_run_takes_nothing(world: World) -> None:
    container_id = world.create()
    assert world.engine.usage(container_id) is None

    world.engine.start(container_id)

    usage = world.engine.usage(container_id[:12])
    assert usage is not None
    assert usage.memory_bytes > 0
    assert usage.cpu_s >= 0
    with pytest.raises(ContainerGone):
        world.engine.usage(NOBODY)


def test_an_image_goes_only_when_no_container_uses_it(world: World) -> None:
    reference = world.reference("job")
    container_id = world.create(image="job")

    assert world.engine.image_id(reference) in world.engine.images_in_use()
    assert not world.engine.remove_image(reference)
    assert world.engine.has_image(reference)

    world.engine.remove(container_id)

    assert world.engine.image_id(reference) not in world.engine.images_in_use()
    assert world.engine.remove_image(reference)
    assert world.engine.remove_image(reference)
    assert not world.engine.has_image(reference)
    assert world.engine.image_id(reference) is None


def test_a_pull_tells_how_far_it_has_come_and_never_goes_back(world: World) -> None:
    heard: list[int] = []

    world.engine.pull(world.reference("job"), world.login, heard.append)

    assert heard == sorted(heard)
    assert heard
    assert all(0 <= percent <= 100 for percent in heard)


def test_pulls_that_cannot_succeed_are_told_apart(world: World) -> None:
    reference = world.reference("server")

    with pytest.raises(RegistryDenied):
        world.engine.pull(reference.replace("server", "other"), Credentials("AWS", "expired"))
    with pytest.raises(RegistryDenied):
        world.engine.pull(reference.replace("server", "other"), None)
    with pytest.raises(ImageNotFound):
        world.engine.pull(reference.partition("@")[0] + "@sha256:" + "0" * 64, world.login)
    with pytest.raises(RegistryUnreachable):
        world.engine.pull("127.0.0.1:9/nobody@sha256:" + "0" * 64, world.login)


@pytest.mark.parametrize(
    ("image", "health"), [("server", "none"), ("healthy", "healthy"), ("unhealthy", "unhealthy")]
)
def test_the_list_tells_what_the_images_health_check_says(world: World, image: str, health: str) -> None:
    world.engine.start(world.create(image=image))

    assert eventually(lambda: only(world).health == health)


@pytest.mark.parametrize(("image", "exit_code"), [("failing", 1), ("job", 0)])
def test_a_process_that_ends_leaves_its_exit_code(world: World, image: str, exit_code: int) -> None:
    container_id = world.create(image=image, restart="no")
    world.engine.start(container_id)

    assert eventually(lambda: only(world).state == "exited")
    course = world.engine.course(container_id)
    assert (course.exit_code, course.restarts, course.out_of_memory) == (exit_code, 0, False)


def test_a_process_that_keeps_ending_is_restarted_and_every_start_is_told_apart(world: World) -> None:
    container_id = world.create(image="failing", restart="unless-stopped")
    world.engine.start(container_id)
    first = world.engine.course(container_id).started_at

    assert eventually(lambda: world.engine.course(container_id).restarts >= 1)
    if not world.simulated:
        assert eventually(lambda: world.engine.course(container_id).started_at != first)
    world.engine.stop(container_id, 1)
    assert only(world).state == "exited"


def test_an_image_for_another_machine_is_told_by_its_course(world: World) -> None:
    container_id = world.create(image="foreign-machine", restart="no")
    world.engine.start(container_id)

    assert eventually(lambda: only(world).state == "exited")
    assert world.engine.course(container_id).wrong_architecture


def test_a_command_that_the_image_does_not_have_is_told(world: World) -> None:
    container_id = world.create(image="no-command", restart="no")
    try:
        world.engine.start(container_id)
    except CommandNotFound:
        return

    assert eventually(lambda: only(world).state == "exited")
    assert world.engine.course(container_id).exit_code == 127
    assert not world.engine.course(container_id).wrong_architecture


@pytest.mark.parametrize(("image", "again"), [("failing", True), ("job", False)])
def test_on_failure_starts_again_what_failed_and_leaves_what_is_done(
    world: World, image: str, again: bool
) -> None:
    container_id = world.create(image=image, restart="on-failure")
    world.engine.start(container_id)

    if again:
        assert eventually(lambda: world.engine.course(container_id).restarts >= 1)
    else:
        assert eventually(lambda: (only(world).state, only(world).exit_code) == ("exited", 0))


def test_a_volume_is_listed_by_its_label_and_deleted_when_nobody_has_it(world: World) -> None:
    name = f"{world.thing}.data"
    mount = Mount("volume", name, "/data", labels={LABEL_THING: world.thing, "more": "1"})
    container_id = world.create(mounts=(mount,))

    assert world.engine.volumes(world.thing) == [Volume(name, mount.labels)]
    assert world.engine.volumes(world.thing[:-1]) == []
    with pytest.raises(VolumeInUse):
        world.engine.remove_volume(name)
    world.engine.remove(container_id)
    assert [volume.name for volume in world.engine.volumes(world.thing)] == [name]
    world.engine.remove_volume(name)
    world.engine.remove_volume(name)
    assert world.engine.volumes(world.thing) == []


def test_the_output_of_a_container_that_is_gone_is_said_to_be_gone(world: World) -> None:
    with pytest.raises(ContainerGone), world.engine.output(NOBODY, []):
        pass
