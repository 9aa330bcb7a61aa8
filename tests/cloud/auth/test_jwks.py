"""An issuer's keys: asked for seldom and within two seconds, whatever answers; and which of them are used."""

import contextlib
import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cloud.auth.issuers import Issuer
from cloud.auth.jwks import JWKS_MAX_BYTES, KeysUnavailable, fetch, parse_keys
from cloud.auth.tokens import Untrusted, Verifier
from tests.support.cloud.emf import emitted
from tests.support.cloud.tokens import (
    ISSUER,
    KEY,
    OTHER,
    SECOND,
    Keys,
    Time,
    a_verifier,
    bearer,
    decide,
    jwk,
    token,
)


def test_an_unknown_key_asks_the_issuer_at_most_once_a_minute() -> None:
    keys, clock = Keys(jwk(KEY, "k1")), Time()
    verifier = a_verifier(keys, clock)
    for _ in range(50):
        with pytest.raises(Untrusted, match="key-unknown"):
            verifier.verify(token(OTHER, header={"kid": "k2"}))
    assert len(keys.asked) == 1

    keys.keys.append(jwk(OTHER, "k2"))
    clock.at += 59
    with pytest.raises(Untrusted, match="key-unknown"):
        verifier.verify(token(OTHER, header={"kid": "k2"}))
    clock.at += 1
    assert verifier.verify(token(OTHER, header={"kid": "k2"})).subject == "ada"
    assert len(keys.asked) == 2


def test_a_known_key_needs_no_issuer_and_survives_its_outage() -> None:
    keys, clock = Keys(jwk(KEY, "k1")), Time()
    verifier = a_verifier(keys, clock)
    verifier.verify(token())
    keys.down = True
    clock.at += 120
    assert verifier.verify(token()).subject == "ada"
    with pytest.raises(KeysUnavailable):
        verifier.verify(token(OTHER, header={"kid": "k2"}))
    assert verifier.verify(token()).subject == "ada"


def test_while_the_issuer_does_not_answer_nothing_is_said_of_a_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not even between two tries: a refusal would be kept by the gateway's cache."""
    keys, clock = Keys(jwk(KEY, "k1")), Time()
    keys.down = True
    verifier = a_verifier(keys, clock)
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            decide(bearer(token()), verifier=verifier)
    assert len(keys.asked) == 1
    assert emitted(capsys) == {"key_sets_unavailable": [1]}  # once a try; nobody was refused

    keys.down = False
    clock.at += 60
    assert verifier.verify(token()).subject == "ada"


def test_an_outage_of_the_issuer_is_bridged_but_not_past_the_hour() -> None:
    keys, clock = Keys(jwk(KEY, "k1")), Time()
    verifier = a_verifier(keys, clock)
    verifier.verify(token())
    keys.down = True
    for _ in range(59):
        clock.at += 60
        assert verifier.verify(token()).subject == "ada"
    for _ in range(3):
        clock.at += 60
        for _ in range(2):
            with pytest.raises(KeysUnavailable):
                verifier.verify(token())


def test_a_key_that_the_issuer_withdrew_is_believed_for_an_hour_at_most() -> None:
    keys, clock = Keys(jwk(KEY, "k1")), Time()
    verifier = a_verifier(keys, clock)
    verifier.verify(token())
    keys.keys = [jwk(OTHER, "k2")]
    clock.at += 3600
    with pytest.raises(Untrusted, match="key-unknown"):
        verifier.verify(token())


def test_each_issuer_is_asked_for_its_own_unknown_keys_only() -> None:
    first, second = Keys(jwk(KEY, "k1")), Keys(jwk(OTHER, "k1"))
    sets = {ISSUER.jwks_uri: first, SECOND.jwks_uri: second}
    verifier = Verifier((ISSUER, SECOND), fetch=lambda uri: sets[uri](uri), monotonic=Time())
    for kid in ("x", "y", "z"):
        with pytest.raises(Untrusted, match="key-unknown"):
            verifier.verify(token(header={"kid": kid}))
    assert (len(first.asked), len(second.asked)) == (1, 0)

    second.down = True
    assert verifier.verify(token()).issuer == ISSUER.issuer
    with pytest.raises(KeysUnavailable):
        verifier.verify(token(OTHER, iss=SECOND.issuer, aud="fleet-api"))


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "RS256", "use": "sig"},
        {**jwk(KEY, "k1"), "kty": "oct"},
        {**jwk(KEY, "k1"), "kty": "EC"},
        {**jwk(KEY, "k1"), "kty": ["RSA"]},
        {**jwk(KEY, "k1"), "use": "enc"},
        {**jwk(KEY, "k1"), "use": None},
        {**jwk(KEY, "k1"), "alg": "RS512"},
        {**jwk(KEY, "k1"), "alg": "HS256"},
        {**jwk(KEY, "k1"), "n": "!!"},
        {**jwk(KEY, "k1"), "n": ""},
        {**jwk(KEY, "k1"), "n": 7},
        {**jwk(KEY, "k1"), "n": None},
        {**jwk(KEY, "k1"), "n": [1]},
        {**jwk(KEY, "k1"), "e": "AQ"},
        {**jwk(KEY, "k1"), "e": ""},
        {**jwk(KEY, "k1"), "e": {}},
        {**jwk(KEY, "k1"), "kid": 1},
        jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), "k1"),  # noqa: S505
        "k1",
        None,
        [],
    ],
)
def test_a_key_that_is_not_for_rs256_signatures_is_passed_over_and_the_others_are_not(entry: Any) -> None:
    with pytest.raises(Untrusted, match="key-unknown"):
        a_verifier(Keys(entry)).verify(token())
    verifier = a_verifier(Keys(entry, jwk(KEY, "k2")))
    assert verifier.verify(token(header={"kid": "k2"})).subject == "ada"


@pytest.mark.parametrize("order", [1, -1])
def test_an_id_that_stands_for_two_keys_stands_for_none_and_one_that_comes_twice_for_one(order: int) -> None:
    twice = a_verifier(Keys(*[jwk(KEY, "k1"), jwk(OTHER, "k1"), jwk(KEY, "k1")][::order]))
    for key in (KEY, OTHER):
        with pytest.raises(Untrusted, match="key-unknown"):
            twice.verify(token(key))
    assert a_verifier(Keys(jwk(KEY, "k1"), jwk(KEY, "k1"))).verify(token()).subject == "ada"


def test_thousands_of_keys_cost_no_more_than_the_one_that_is_asked_for() -> None:
    """A document of the greatest size is read in a fraction of a second: its keys are not made."""
    entries = ",".join(f'{{"kty":"RSA","kid":"{i}","n":"{i:x}","e":"AQAB"}}' for i in range(4_500))
    document = f'{{"keys":[{entries},{json.dumps(jwk(KEY, "k1"))}]}}'.encode()
    assert JWKS_MAX_BYTES * 3 // 4 < len(document) <= JWKS_MAX_BYTES

    began = time.process_time()
    keys = parse_keys(document)
    assert time.process_time() - began < 0.5
    assert len(keys) == 4_501
    assert a_verifier(lambda uri: document).verify(token()).subject == "ada"


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"{}", b"null", b"7", b'"keys"', b'{"keys": 3}', b'{"keys": null}', b'{"keys": {}',
        b"\xff", b"[" * 100_000, b'{"keys":' + b"[" * 100_000, b"<html>sign in</html>", b"9" * 5_000,
        b'{"keys": "k1"', b"\x1f\x8b\x08", json.dumps(jwk(KEY, "k1")).encode()[:-9],
    ],
)  # fmt: skip
def test_a_key_set_that_is_none_is_unavailable(document: bytes) -> None:
    with pytest.raises(KeysUnavailable, match="not a key set"):
        a_verifier(lambda uri: document).verify(token())


@pytest.mark.parametrize("document", [b'{"keys": []}', b'{"keys": {}}', b'{"keys": "k1"}', b'{"keys": [[]]}'])
def test_a_key_set_without_a_key_of_ours_lets_nobody_in(document: bytes) -> None:
    with pytest.raises(Untrusted, match="key-unknown"):
        a_verifier(lambda uri: document).verify(token())


OVER = threading.Event()  # the tests that talk to the slow ones are
ASKED: list[str] = []
GOOD = json.dumps({"keys": [jwk(KEY, "k1")]}).encode()


class _Answers(http.server.BaseHTTPRequestHandler):
    """An honest issuer at /keys, and at other paths what may be found in its place."""

    def do_GET(self) -> None:
        ASKED.append(self.path)
        with contextlib.suppress(OSError):  # who asked has hung up
            match self.path.split("-")[0]:
                case "/moved":
                    self._answer(b"", int(self.path.removeprefix("/moved-")), location="/elsewhere")
                case "/broken":
                    self._answer(GOOD, 500)
                case "/large":
                    self._answer(b" " * JWKS_MAX_BYTES + GOOD)
                case "/page":
                    self._answer(b"<html>sign in</html>")
                case "/noise":
                    self.wfile.write(bytes(range(256)) * 300)
                case "/silent":
                    OVER.wait(10)  # the bound is on a real socket: no clock to pass
                case "/headers":
                    self._drip(b"HTTP/1.1 200 OK\r\nX-Long: ")
                case "/drops":
                    self._drip(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
                case "/endless":
                    self._drip(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD)
                case "/keys" | "/elsewhere":
                    self._answer(GOOD)
        self.close_connection = True  # and nothing more, at any other path

    def _answer(self, body: bytes, status: int = 200, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, begin: bytes) -> None:
        self.wfile.write(begin)
        while not OVER.wait(0.05):
            self.wfile.write(b" ")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    OVER.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_are_fetched_as_they_are(web: str) -> None:
    assert fetch(f"{web}/keys") == GOOD


@pytest.mark.parametrize("path", ["/large", "/broken", "/hangs-up", "/noise"])
def test_a_flood_an_error_and_no_answer_are_no_keys(web: str, path: str) -> None:
    with pytest.raises(KeysUnavailable):
        fetch(web + path)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(web: str, status: int) -> None:
    with pytest.raises(KeysUnavailable, match=f"status {status}"):
        fetch(f"{web}/moved-{status}")
    assert "/elsewhere" not in ASKED


SLOW = ["/silent", "/drops", "/headers", "/endless"]


@pytest.mark.parametrize("path", SLOW)
def test_an_answer_that_takes_its_time_is_given_up_in_time_as_a_whole(web: str, path: str) -> None:
    began = time.monotonic()
    with pytest.raises(KeysUnavailable, match="keys-unavailable") as given_up:
        fetch(web + path, timeout_s=0.15)
    assert time.monotonic() - began < 2
    assert given_up.value.reason == "too slow"


HOSTILE = [*SLOW, "/moved-302", "/large", "/broken", "/hangs-up", "/noise", "/page"]


def test_a_hostile_key_set_neither_lets_in_nor_holds_anybody_for_two_seconds(web: str) -> None:
    """The authorizer as it is deployed, its own timeout included; all at once, because that is seconds."""
    outcomes: dict[str, tuple[object, float]] = {}

    def ask(path: str) -> None:
        issuer = Issuer("https://id.test", ("fleetgrass",), web + path)
        verifier = Verifier((issuer,), fetch=fetch)
        began = time.monotonic()
        try:
            answer: object = decide(bearer(token()), verifier=verifier)["isAuthorized"]
        except KeysUnavailable as unavailable:
            answer = unavailable.code
        outcomes[path] = (answer, time.monotonic() - began)

    threads = [threading.Thread(target=ask, args=(path,)) for path in (*HOSTILE, "/keys")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes.pop("/keys")[0] is True
    assert {path: answer for path, (answer, _) in outcomes.items()} == dict.fromkeys(
        HOSTILE, KeysUnavailable.code
    )
    assert max(seconds for _, seconds in outcomes.values()) < 2, outcomes


def test_a_name_that_is_not_resolved_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        resolved.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(KeysUnavailable):
        fetch("https://id.test/keys", timeout_s=0.05)
    resolved.set()


def test_an_address_where_nobody_listens_is_no_keys() -> None:
    with pytest.raises(KeysUnavailable):
        fetch("http://127.0.0.1:1/keys")


def test_a_server_that_cannot_prove_its_name_is_no_issuer(tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begin, end = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, KEY.public_key(), x509.random_serial_number(), begin, end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(KEY, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + KEY.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(KeysUnavailable, match="SSLCertVerificationError"):
            fetch(f"https://localhost:{server.server_address[1]}/keys")
        thread.join()
