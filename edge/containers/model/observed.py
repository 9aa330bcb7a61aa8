"""Containers of ours: their names, labels and recognition; everything else on the engine is foreign."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from contract.applications import HealthCheck, ImageHealthCheck, RestartPolicy, Secret
from contract.defaults import HEALTHY_WINDOW_S, STOP_GRACE_S
from contract.names import ApplicationName
from contract.wire import Lenient
from edge.ports.engine import (
    LABEL_APPLICATION,
    LABEL_IMAGE,
    LABEL_SPEC,
    LABEL_SUPERVISION,
    LABEL_THING,
    Container,
)

#: After an application's name, which holds no dot: the container that was replaced, kept until the
#: new one has proven itself.
PREVIOUS = ".previous"
_NAME: TypeAdapter[str] = TypeAdapter(ApplicationName)


class Supervision(Lenient):
    """The part of an application's specification that is needed after its container was created."""

    health_check: HealthCheck = ImageHealthCheck()
    healthy_window_s: float = HEALTHY_WINDOW_S
    stop_grace_s: float = STOP_GRACE_S
    restart: RestartPolicy = "unless-stopped"
    update_lock: bool = False
    lock_folder: str | None = None  # where it has its lock; None: agent 0.1.0 created it
    secrets: list[Secret] = []  # those given as files, by reference: a reboot takes the files


@dataclass(frozen=True, slots=True)
class Observed:
    """A container of ours."""

    container: Container
    spec: str  # the digest of the specification that it was made from
    image: str  # by its ECR name
    supervision: Supervision

    @property
    def id(self) -> str:
        return self.container.id

    @property
    def alive(self) -> bool:
        return self.container.alive

    @property
    def is_done(self) -> bool:
        """Whether it has ended and, by its restart policy, is not to be started again."""
        if self.container.state != "exited":
            return False
        match self.supervision.restart:
            case "no":
                return True
            case "on-failure":
                return self.container.exit_code == 0
            case "unless-stopped":
                return False


@dataclass(frozen=True, slots=True)
class ContainerPair:
    """The containers of one application: at most one in its place, and one set aside."""

    current: Observed | None = None
    previous: Observed | None = None


def device_name(thing: str) -> str:
    """Return what the names of all that is ``thing``'s begin with; a thing's own name may hold ``:``."""
    return f"fleetgrass-{hashlib.sha256(thing.encode()).hexdigest()[:8]}"


def current_name(thing: str, application: str) -> str:
    """Return the name of the container in an application's place."""
    return f"{device_name(thing)}-{application}"


def previous_name(thing: str, application: str) -> str:
    """Return the name of the container that was set aside."""
    return current_name(thing, application) + PREVIOUS


def volume_name(thing: str, application: str, volume: str) -> str:
    """Return the engine's name of a volume; no other application and volume share it, thanks to the dot."""
    return f"{current_name(thing, application)}.{volume}"


def is_ours(labels: Mapping[str, str], thing: str) -> bool:
    """Whether a container with these labels belongs to ``thing``'s agent."""
    return labels.get(LABEL_THING) == thing and _is_a_name(labels.get(LABEL_APPLICATION))


def pairs(containers: Iterable[Container], thing: str) -> dict[str, ContainerPair]:
    """Return the containers of each application: with our label and our name, or it is not ours."""
    found: dict[str, ContainerPair] = {}
    for container in containers:
        if not is_ours(container.labels, thing):
            continue
        application = container.labels[LABEL_APPLICATION]
        before = found.get(application, ContainerPair())
        if container.name == current_name(thing, application):
            found[application] = ContainerPair(_observed(container), before.previous)
        elif container.name == previous_name(thing, application):
            found[application] = ContainerPair(before.current, _observed(container))
    return found


def _is_a_name(application: str | None) -> bool:
    """Whether an application can be called so: what is labelled with anything else no agent created."""
    try:
        _NAME.validate_python(application)
    except ValidationError:
        return False
    return True


def _observed(container: Container) -> Observed:
    labels = container.labels
    try:
        supervision = Supervision.model_validate_json(labels.get(LABEL_SUPERVISION, "{}"))
    except ValidationError:
        supervision = Supervision()  # a newer agent's: what it runs is still ours to keep
    return Observed(container, labels.get(LABEL_SPEC, ""), labels.get(LABEL_IMAGE, ""), supervision)
