import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from local.docker.registry_proxy import Behaviour, RegistryFront
from local.docker.registry_tokens import issue

KEY = b"key"
NOW_S = 1_800_000_000.0
BLOB = bytes(range(256)) * 1024
BLOB_PATH = "/v2/hello/blobs/sha256:1"
MANIFEST_PATH = "/v2/hello/manifests/v1"


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        body = BLOB if "/blobs/" in self.path else (self.headers.get("Accept") or "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", "sha256:1")
        self.send_header("X-Saw-Authorization", str("Authorization" in self.headers))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def front(upstream: str) -> Iterator[RegistryFront]:
    front = RegistryFront(upstream, KEY, now=lambda: NOW_S)
    yield front
    front.stop()


Get = Callable[..., requests.Response]


@pytest.fixture
def get(front: RegistryFront) -> Get:
    def get(path: str, password: str | None = None, **headers: str) -> requests.Response:
        password = password or issue(KEY, int(NOW_S * 1000))
        return requests.get(
            f"http://{front.address}{path}", auth=("AWS", password), headers=headers, timeout=5
        )

    return get


def test_nobody_gets_in_without_credentials(front: RegistryFront) -> None:
    answer = requests.get(f"http://{front.address}/v2/", timeout=5)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("password", ["guess", issue(b"other", int(NOW_S * 1000))], ids=["guess", "anothers"])
def test_a_password_that_is_not_one_of_our_tokens_is_refused(
    get: Get, front: RegistryFront, password: str
) -> None:
    assert get(MANIFEST_PATH, password).status_code == 401
    assert front.counts.refused == 1


def test_a_token_opens_manifests_and_blobs(get: Get, front: RegistryFront) -> None:
    manifest = get(MANIFEST_PATH, Accept="application/x")

    assert (manifest.text, manifest.headers["Docker-Content-Digest"]) == ("application/x", "sha256:1")
    assert get(BLOB_PATH).content == BLOB
    assert (front.counts.manifests, front.counts.blobs) == (1, 1)


def test_the_token_goes_no_further_than_the_front(get: Get) -> None:
    assert get(MANIFEST_PATH).headers["X-Saw-Authorization"] == "False"


def test_a_token_ends_after_twelve_hours(get: Get) -> None:
    old = issue(KEY, int((NOW_S - 12 * 3600) * 1000))

    assert get(MANIFEST_PATH, old).status_code == 401


def test_told_to_expire_it_refuses_the_tokens_of_before_and_takes_new_ones(
    get: Get, front: RegistryFront
) -> None:
    old, new = issue(KEY, int(NOW_S * 1000)), issue(KEY, int(NOW_S * 1000) + 1)

    front.expire_tokens()

    assert get(MANIFEST_PATH, old).status_code == 401
    assert get(MANIFEST_PATH, new).status_code == 200


def test_told_to_deny_it_refuses_good_tokens_too(get: Get, front: RegistryFront) -> None:
    front.behaviour = Behaviour(deny=True)

    answer = get(MANIFEST_PATH)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "DENIED")


def test_told_to_cut_it_breaks_off_in_the_middle_of_a_blob(get: Get, front: RegistryFront) -> None:
    front.behaviour = Behaviour(cut_after_bytes=1000)

    with pytest.raises(requests.RequestException):
        get(BLOB_PATH)
    assert get(MANIFEST_PATH).status_code == 200


def test_another_process_can_tell_it_how_to_behave(get: Get, front: RegistryFront) -> None:
    url = f"http://{front.address}/_registry/behaviour"

    requests.put(url, json={"deny": True}, timeout=5).raise_for_status()

    assert get(MANIFEST_PATH).status_code == 403
    assert requests.put(url, json={"dney": True}, timeout=5).status_code == 400


def test_nothing_is_written_through_it(front: RegistryFront) -> None:
    connection = http.client.HTTPConnection(front.address, timeout=5)
    connection.request("PUT", MANIFEST_PATH, body=b"{}")

    assert connection.getresponse().status == 405
    connection.close()
