"""What a registry's HTTP answers mean, from real sockets."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from edge.ports.engine import Credentials
from edge.ports.engine_errors import ImageNotFound, RegistryDenied, RegistryUnreachable
from edge.preflight.manifests import Manifest, parse, parse_configuration
from edge.preflight.registry import HttpRegistry
from local.docker.images import architecture
from local.process.http_server import LoopbackServer
from tests.support.engine.tiny_registry import LOGIN, TinyRegistry

GOOD = Credentials(*LOGIN)


@pytest.fixture
def tiny() -> Iterator[TinyRegistry]:
    serving = TinyRegistry(b"", "preflight")
    yield serving
    serving.stop()


def test_a_manifest_and_the_configuration_it_names_say_machine_and_sizes(tiny: TinyRegistry) -> None:
    reference = tiny.reference("server")

    manifest = parse(HttpRegistry().manifest(reference, GOOD))

    assert isinstance(manifest, Manifest)
    assert sum(manifest.sizes().values()) > 0
    configuration = HttpRegistry().blob(reference, manifest.config.digest, GOOD)
    assert parse_configuration(configuration).architecture == architecture()


def test_a_registry_tells_what_it_does_not_have_from_whom_it_does_not_let_in(tiny: TinyRegistry) -> None:
    with pytest.raises(ImageNotFound):
        HttpRegistry().manifest(f"{tiny.address}/fleetgrass/web@sha256:{'0' * 64}", GOOD)
    with pytest.raises(RegistryDenied):
        HttpRegistry().manifest(tiny.reference("server"), Credentials("AWS", "old"))


def test_a_registry_that_is_not_there_says_nothing(tiny: TinyRegistry) -> None:
    tiny.stop()

    with pytest.raises(RegistryUnreachable):
        HttpRegistry().manifest(tiny.reference("server"), GOOD)


class _Elsewhere:
    """Where blobs really are: hears who asks with which login."""

    def __init__(self) -> None:
        self.logins: list[str | None] = []
        self.server = LoopbackServer(0, _Redirecting, self)


class _Redirecting(BaseHTTPRequestHandler):
    server: LoopbackServer[_Elsewhere]

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        heard = self.server.service
        heard.logins.append(self.headers.get("Authorization"))
        match self.path:
            case "/signed":
                self._answer(200, json.dumps({"architecture": "arm64"}).encode())
            case "/v2/strange/manifests/sha256:1":
                self._answer(401, b"", {"WWW-Authenticate": 'Bearer realm="https://elsewhere"'})
            case "/v2/forbidden/manifests/sha256:1":
                self._answer(403, b"")
            case "/v2/busy/manifests/sha256:1":
                self._answer(429, b"")
            case _:
                self._answer(307, b"", {"Location": f"http://{heard.server.address}/signed"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def elsewhere() -> Iterator[_Elsewhere]:
    made = _Elsewhere()
    made.server.start()
    yield made
    made.server.stop()


def test_whoever_a_blob_is_fetched_from_does_not_see_the_registrys_login(elsewhere: _Elsewhere) -> None:
    content = HttpRegistry().blob(f"{elsewhere.server.address}/web@sha256:1", "sha256:2", GOOD)

    assert parse_configuration(content).architecture == "arm64"
    assert [login is not None for login in elsewhere.logins] == [True, False]


@pytest.mark.parametrize(
    ("repository", "meaning"),
    [("forbidden", RegistryDenied), ("strange", RegistryUnreachable), ("busy", RegistryUnreachable)],
)
def test_only_a_plain_no_is_a_no(elsewhere: _Elsewhere, repository: str, meaning: type[Exception]) -> None:
    with pytest.raises(meaning):
        HttpRegistry().manifest(f"{elsewhere.server.address}/{repository}@sha256:1", GOOD)
