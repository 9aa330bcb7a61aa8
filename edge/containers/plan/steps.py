"""Steps of a plan: small data, each one engine call or one fact to remember, with its cause."""

from dataclasses import dataclass

from contract.applications import Application, Secret
from edge.containers.model.trial import Failure


@dataclass(frozen=True, slots=True)
class Pull:
    """Have the engine get the image, where it does not have it. In the background."""

    application: str
    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class InspectImage:
    """Find out, without fetching the image, whether it would run here and fit. In the background."""

    application: str
    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class FetchSecrets:
    """Get the values of a specification's secrets. In the background."""

    application: str
    spec: str
    secrets: tuple[Secret, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """Give the container in place the name of the previous one; it goes on running."""

    application: str
    container_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class BringBack:
    """Give the previous container its old name again."""

    application: str
    container_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Create:
    """Make the container, not started. Comes after Try, or a crash would take it for a proven one."""

    application: str
    wanted: Application
    spec: str  # the digest of what is wanted
    reference: str  # the local image
    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a container. In the background."""

    application: str
    container_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a container within its grace. In the background: it may take the whole of it."""

    application: str
    container_id: str
    grace_s: int
    reason: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop a container within its grace and start it again. In the background.

    Two engine calls: one that is found stopped between them is started as any other.
    """

    application: str
    container_id: str
    grace_s: int
    reason: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a container that has ended."""

    application: str
    container_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Try:
    """Remember that this specification has not proven itself yet, and what failed before no longer counts."""

    application: str
    spec: str
    reason: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """Remember that the specification on trial is good; and, by the same write, ``others``' too."""

    application: str
    spec: str
    reason: str
    others: tuple[tuple[str, str], ...] = ()  # (application, specification)


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Remember that the wanted specification failed: it is not tried again in this deployment."""

    application: str
    failure: Failure
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Remember nothing more of an application that is neither wanted nor there."""

    application: str
    reason: str


Step = (
    Pull
    | InspectImage
    | FetchSecrets
    | SetAside
    | BringBack
    | Create
    | Start
    | Stop
    | Restart
    | Remove
    | Try
    | Confirm
    | GiveUp
    | Forget
)
#: What only gets something from elsewhere: it fails by itself, and holds back no other step.
Fetch = Pull | InspectImage | FetchSecrets


def describe(step: Step) -> str:
    """Return the step in one line without its cause: ``stop web 4f2a91c0d3e1``."""
    words = [type(step).__name__.lower(), step.application]
    match step:
        case SetAside() | BringBack() | Start() | Stop() | Restart() | Remove():
            words.append(step.container_id[:12])
        case Pull() | InspectImage() | Create():
            image = step.wanted.image if isinstance(step, Create) else step.image
            words.append(image.rpartition("sha256:")[2][:12])
        case Try() | Confirm() | FetchSecrets():
            words.append(step.spec[:12])
        case GiveUp():
            words.append(step.failure.code)
        case Forget():
            pass
    return " ".join(words)
