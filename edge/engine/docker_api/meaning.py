"""Docker Engine's error texts, mapped to our error tree; reads text and decides, nothing else.

Docker's API has few machine-readable codes of its own. The texts were seen on Docker Engine 20.10.24, the
only one that the tests have run on, or are in its sources; a newer engine may word them differently. After
an unknown text the step is tried again a few times, and the text is reported as it is.
Order matters where one text holds two phrases: "pull access denied … repository does not exist" is a refusal.
"""

from collections.abc import Sequence

from edge.ports.engine_errors import (
    CommandNotFound,
    ContainerGone,
    DiskFull,
    EngineError,
    ImageInUse,
    ImageMissing,
    ImageNotFound,
    NameTaken,
    PortTaken,
    PullFailed,
    RegistryDenied,
    RegistryUnreachable,
    SpecRefused,
    VolumeInUse,
    WrongArchitecture,
)

_Phrases = Sequence[tuple[tuple[str, ...], type[EngineError]]]

_CONTAINER: _Phrases = (
    (("no space left on device",), DiskFull),
    (("no such container",), ContainerGone),
    (("volume is in use",), VolumeInUse),
    (("no such image",), ImageMissing),
    (("is using its referenced image", "image is being used by", "dependent child images"), ImageInUse),
    (("is already in use by container", "already in use by another container"), NameTaken),
    (("port is already allocated", "address already in use", "ports are not available"), PortTaken),
    (("exec format error",), WrongArchitecture),
    (("executable file not found", "no such file or directory: unknown"), CommandNotFound),
    (("permission denied: unknown",), CommandNotFound),
)
_PULL: _Phrases = (
    (("no space left on device",), DiskFull),
    (("no matching manifest for",), WrongArchitecture),
    (("denied", "unauthorized", "no basic auth credentials", "authentication required"), RegistryDenied),
    (("forbidden", "authorization token has expired"), RegistryDenied),
    (("manifest unknown", "name unknown", "not found", "does not exist"), ImageNotFound),
    (
        ("connection refused", "connection reset", "broken pipe", "no such host", "no route to host"),
        RegistryUnreachable,
    ),
    (("network is unreachable", "timeout", "timed out", "deadline exceeded", "eof"), RegistryUnreachable),
    (
        ("toomanyrequests", "too many requests", "server misbehaving", "temporary failure"),
        RegistryUnreachable,
    ),
    (("unexpected http status: 5", "unexpected http code: 5", "context canceled"), RegistryUnreachable),
)


def of_container_call(status: int | None, text: str) -> EngineError:
    """Return the error that an answer about a container means."""
    known = _first(_CONTAINER, text)
    if known is None:
        known = ContainerGone if status == 404 else SpecRefused if status == 400 else EngineError
    return known(text)


def of_pull(text: str) -> EngineError:
    """Return the error that a pull which broke off with ``text`` means."""
    return (_first(_PULL, text) or PullFailed)(text)


def _first(phrases: _Phrases, text: str) -> type[EngineError] | None:
    lowered = text.lower()
    for needles, error in phrases:
        if any(needle in lowered for needle in needles):
            return error
    return None
