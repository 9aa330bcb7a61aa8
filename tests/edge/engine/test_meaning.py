"""Engines' error texts, as seen on Docker Engine 20.10 and in its source, and what they mean."""

import pytest

from edge.engine.docker_api import meaning
from edge.ports import engine_errors as errors

CONTAINER = [
    (404, "No such container: 4f2a", errors.ContainerGone),
    (404, "No such image: 127.0.0.1:5000/a@sha256:00", errors.ImageMissing),
    (
        409,
        'Conflict. The container name "/a" is already in use by container "4f". You have to …',
        errors.NameTaken,
    ),
    (
        500,
        "driver failed programming external connectivity on endpoint a (4f): "
        "Bind for 0.0.0.0:80 failed: port is already allocated",
        errors.PortTaken,
    ),
    (
        500,
        "driver failed programming external connectivity on endpoint a (4f): Error starting userland proxy: "
        "listen tcp4 0.0.0.0:80: bind: address already in use",
        errors.PortTaken,
    ),
    (
        400,
        'OCI runtime create failed: … exec: "/bin/x": stat /bin/x: no such file or directory: unknown',
        errors.CommandNotFound,
    ),
    (
        400,
        'OCI runtime create failed: … exec: "x": executable file not found in $PATH: unknown',
        errors.CommandNotFound,
    ),
    (
        400,
        "OCI runtime create failed: … standard_init_linux.go: exec format error",
        errors.WrongArchitecture,
    ),
    (500, "mkdir /var/lib/docker/overlay2/4f: no space left on device", errors.DiskFull),
    (400, "Minimum memory limit allowed is 6MB", errors.SpecRefused),
    (500, "something nobody has seen before", errors.EngineError),
]
PULL = [
    ("Get https://x/v2/: no basic auth credentials", errors.RegistryDenied),
    ("Head http://x/v2/a/manifests/sha256:00: unauthorized: Not Authorized", errors.RegistryDenied),
    (
        "pull access denied for x/a, repository does not exist or may require 'docker login': denied: …",
        errors.RegistryDenied,
    ),
    (
        "denied: Your authorization token has expired. Reauthenticate and try again.",
        errors.RegistryDenied,
    ),
    ("manifest for x/a@sha256:00 not found: manifest unknown: manifest unknown", errors.ImageNotFound),
    ("no matching manifest for linux/amd64 in the manifest list entries", errors.WrongArchitecture),
    (
        "Get http://x/v2/: dial tcp 127.0.0.1:9: connect: connection refused",
        errors.RegistryUnreachable,
    ),
    ("Get https://x/v2/: dial tcp: lookup x on 10.0.0.1:53: no such host", errors.RegistryUnreachable),
    ("Get https://x/v2/: net/http: TLS handshake timeout", errors.RegistryUnreachable),
    ("Get https://x/v2/: dial tcp: lookup x: i/o timeout", errors.RegistryUnreachable),
    ("unexpected EOF", errors.RegistryUnreachable),
    ("toomanyrequests: Rate exceeded", errors.RegistryUnreachable),
    ("received unexpected HTTP status: 503 Service Unavailable", errors.RegistryUnreachable),
    ("failed to register layer: write /bin/x: no space left on device", errors.DiskFull),
    ("filesystem layer verification failed for digest sha256:00", errors.PullFailed),
]


@pytest.mark.parametrize(("status", "text", "error"), CONTAINER)
def test_an_answer_about_a_container(status: int, text: str, error: type[errors.EngineError]) -> None:
    assert type(meaning.of_container_call(status, text)) is error


@pytest.mark.parametrize(("text", "error"), PULL)
def test_a_pull_that_broke_off(text: str, error: type[errors.EngineError]) -> None:
    assert type(meaning.of_pull(text)) is error


def test_every_error_has_a_code_of_its_own() -> None:
    def tree(root: type[errors.EngineError]) -> list[type[errors.EngineError]]:
        return [root, *(each for child in root.__subclasses__() for each in tree(child))]

    codes = [each.code for each in tree(errors.EngineError)]
    assert len(codes) == len(set(codes))
    assert errors.__doc__ is not None
    assert all(code in errors.__doc__ for code in codes)
