"""Errors of a container engine; nothing else comes out of an adapter.

::

    EngineError                 engine-error           anything the engine refuses that has no name below
    ├── EngineUnavailable       engine-unavailable     the engine's socket does not answer
    ├── ContainerGone           container-gone         the container was removed meanwhile
    ├── NameTaken               name-taken             another container has the name
    ├── ImageInUse              image-in-use           a container needs the image
    ├── PortTaken               port-taken             another process or container has the host port
    ├── VolumeInUse             volume-in-use          a container, even a stopped one, has the volume
    ├── DiskFull                disk-full              no room for the image or the container
    ├── SpecRefused             spec-refused           the engine calls the container's specification invalid
    ├── CommandNotFound         command-not-found      the image has no such command
    ├── WrongArchitecture       wrong-architecture     the image is for another kind of machine
    └── PullFailed              pull-failed            the registry's answer made no sense to the engine
        ├── ImageNotFound       image-not-found        the registry does not have it
        ├── ImageMissing        image-missing          the engine does not have it (pull it first)
        ├── RegistryDenied      registry-denied        the registry does not let us
        └── RegistryUnreachable registry-unreachable   the registry does not answer, or breaks off
            └── PullStalled     pull-stalled           no byte came for so long that the pull was given up
"""

from typing import ClassVar, Literal

Retry = Literal["forever", "finitely", "never"]


class EngineError(Exception):
    """The engine did not do it. ``str(error)`` is for people, ``code`` for machines."""

    code: ClassVar[str] = "engine-error"
    #: Whether asking again may help: "forever" for connectivity, "never" for a plain no.
    retry: ClassVar[Retry] = "finitely"


class EngineUnavailable(EngineError):
    """The engine's socket does not answer: the engine is down, starting, or not installed."""

    code = "engine-unavailable"
    retry = "forever"


class ContainerGone(EngineError):
    """The container does not exist any more: look again."""

    code = "container-gone"


class NameTaken(EngineError):
    """Another container has the name; ours or foreign, only its labels tell."""

    code = "name-taken"


class ImageInUse(EngineError):
    """A container needs the image, which therefore stays."""

    code = "image-in-use"


class PortTaken(EngineError):
    """Another process or container has the host port."""

    code = "port-taken"


class VolumeInUse(EngineError):
    """A container, even a stopped one, has the volume."""

    code = "volume-in-use"


class DiskFull(EngineError):
    """No room for the image or the container."""

    code = "disk-full"


class SpecRefused(EngineError):
    """The engine calls the container's specification invalid: asking again will not help."""

    code = "spec-refused"
    retry = "never"


class CommandNotFound(EngineError):
    """The image has no such command, or may not run it: asking again will not help."""

    code = "command-not-found"
    retry = "never"


class WrongArchitecture(EngineError):
    """The image is for another kind of machine: asking again will not help."""

    code = "wrong-architecture"
    retry = "never"


class PullFailed(EngineError):
    """The image did not come, for a reason that has no name of its own."""

    code = "pull-failed"


class ImageNotFound(PullFailed):
    """No registry has the image: asking again will not help."""

    code = "image-not-found"
    retry = "never"


class ImageMissing(PullFailed):
    """The engine does not have the image: it was never pulled, or was removed."""

    code = "image-missing"


class RegistryDenied(PullFailed):
    """The registry refuses these credentials: ask once with fresh ones, then not again."""

    code = "registry-denied"
    retry = "never"


class RegistryUnreachable(PullFailed):
    """The registry does not answer, or broke off: only time helps."""

    code = "registry-unreachable"
    retry = "forever"


class PullStalled(RegistryUnreachable):
    """Nothing came for so long that the pull was broken off: only time helps."""

    code = "pull-stalled"
