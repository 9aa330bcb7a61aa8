"""The authorizer against what attackers send: every way in that rule 44 closes."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from cloud.access import ROUTES
from cloud.functions.authorize import authorize
from cloud.jwks import KeysUnavailable, fetch
from cloud.tokens import (
    BadConfiguration,
    Issuer,
    Untrusted,
    Verifier,
    parse_issuers,
)

NOW = 1_800_000_000
ISSUER = Issuer("https://id.test", "fleetgrass", "https://id.test/jwks")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER.issuer,
    "aud": ISSUER.audience,
    "sub": "ada",
    "exp": NOW + 600,
    "nbf": NOW - 5,
    "roles": ["Fleet.Admin"],
}


def jwk(key: rsa.RSAPrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, **more}


def token(key: rsa.RSAPrivateKey = KEY, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k1", **(header or {})})


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def handmade(header: object, claims: object, sign: Any = lambda text: b"") -> str:
    text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(sign(text.encode()))}"


def hmac_with_the_public_key(text: bytes) -> bytes:
    return hmac.new(PUBLIC_PEM, text, hashlib.sha256).digest()


class Keys:
    """The issuer's key set, and how often it was asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.asked: list[str] = []
        self.down = False

    def __call__(self, uri: str) -> bytes:
        self.asked.append(uri)
        if self.down:
            raise KeysUnavailable("down")
        return json.dumps({"keys": self.keys}).encode()


class Time:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def a_verifier(keys: Keys | None = None, monotonic: Time | None = None) -> Verifier:
    return Verifier(
        (ISSUER,),
        fetch=keys or Keys(jwk(KEY, "k1")),
        now=lambda: float(NOW),
        monotonic=monotonic or Time(),
    )


ATTACKS: dict[str, tuple[str, str]] = {
    "alg none": (handmade({"alg": "none", "kid": "k1"}, CLAIMS), "algorithm-not-allowed"),
    "alg None, capitals": (handmade({"alg": "NoNe", "kid": "k1"}, CLAIMS), "algorithm-not-allowed"),
    "HS256 with the public key": (
        handmade({"alg": "HS256", "kid": "k1"}, CLAIMS, hmac_with_the_public_key),
        "algorithm-not-allowed",
    ),
    "HS256 said to be RS256": (
        handmade({"alg": "RS256", "kid": "k1"}, CLAIMS, hmac_with_the_public_key),
        "signature-wrong",
    ),
    "another allowed-looking algorithm": (
        jwt.encode(CLAIMS, KEY, algorithm="RS512", headers={"kid": "k1"}),
        "algorithm-not-allowed",
    ),
    "signed by another key": (token(OTHER), "signature-wrong"),
    "its own key embedded": (token(OTHER, header={"jwk": jwk(OTHER, "k1")}), "key-in-token"),
    "its own key set's address": (token(OTHER, header={"jku": "https://evil.test/jwks"}), "key-in-token"),
    "its own certificate's address": (token(OTHER, header={"x5u": "https://evil.test/c"}), "key-in-token"),
    "its own certificate": (token(OTHER, header={"x5c": ["MII"]}), "key-in-token"),
    "unknown kid": (token(OTHER, header={"kid": "k2"}), "key-unknown"),
    "kid that is a path": (token(OTHER, header={"kid": "../../dev/null"}), "key-unknown"),
    "kid that is no text": (handmade({"alg": "RS256", "kid": 3}, CLAIMS), "malformed"),
    "no kid": (handmade({"alg": "RS256"}, CLAIMS), "key-unknown"),
    "another issuer": (token(iss="https://evil.test"), "issuer-unknown"),
    "an issuer that is a list": (handmade({"alg": "RS256", "kid": "k1"}, CLAIMS | {"iss": ["x"]}), ""),
    "no issuer": (token(iss=None), "issuer-unknown"),
    "another audience": (token(aud="someone-else"), "audience-wrong"),
    "no audience": (token(aud=None), ""),
    "an audience of numbers": (token(aud=[1, 2]), "audience-wrong"),
    "expired": (token(exp=NOW - 61), "expired"),
    "never expires": (token(exp=None), "claim-missing"),
    "not yet valid": (token(nbf=NOW + 61), "not-yet-valid"),
    "expires at infinity": (token(exp=float("inf")), "time-unusable"),
    "expires at no number": (token(exp=float("nan")), "time-unusable"),
    "expires far too late": (token(exp=10**300), "time-unusable"),
    "expires as text": (token(exp="4000000000"), "time-unusable"),
    "expires when true": (token(exp=True), "time-unusable"),
    "expires in a list": (token(exp=[NOW + 5]), "time-unusable"),
    "valid from infinity": (token(nbf=float("-inf")), "time-unusable"),
    "valid from text": (token(nbf="x"), "time-unusable"),
    "no subject": (token(sub=None), "claim-missing"),
    "an empty subject": (token(sub=""), "subject-unusable"),
    "a subject of two lines": (token(sub="ada\nrequest: status=200"), "subject-unusable"),
    "oversized": (token(padding="x" * 20_000), "too-large"),
    "not a token": ("hello", "malformed"),
    "empty": ("", "malformed"),
    "two dots": ("..", "malformed"),
    "not base64": ("a.b.c", "malformed"),
    "claims that are a list": (handmade({"alg": "RS256", "kid": "k1"}, []), "malformed"),
    "a header that is a list": (handmade([], CLAIMS), "malformed"),
    "nested beyond reason": (
        f"{b64(json.dumps({'alg': 'RS256', 'kid': 'k1'}).encode())}.{b64(b'[' * 9_000)}.",
        "malformed",
    ),
    "letters of another script": ("é.é.é", "malformed"),
}


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_an_attack_is_refused_by_its_name(attack: str) -> None:
    attempt, code = ATTACKS[attack]
    with pytest.raises(Untrusted) as refused:
        a_verifier().verify(attempt)
    assert not code or refused.value.code == code


def test_a_changed_claim_breaks_the_signature() -> None:
    head, _, signature = token(roles=["Fleet.Reader"]).split(".")
    forged = f"{head}.{b64(json.dumps(CLAIMS).encode())}.{signature}"
    with pytest.raises(Untrusted, match="signature-wrong"):
        a_verifier().verify(forged)


def test_a_token_of_the_issuer_says_who_what_and_until_when() -> None:
    claims = a_verifier().verify(token(aud=["x", "fleetgrass"]))
    assert (claims.subject, claims.roles, claims.expires_at) == ("ada", ("Fleet.Admin",), NOW + 600)


@pytest.mark.parametrize("changes", [{"exp": NOW - 59}, {"nbf": NOW + 59}, {"nbf": None}])
def test_clocks_may_differ_by_a_minute(changes: dict[str, Any]) -> None:
    assert a_verifier().verify(token(**changes)).subject == "ada"


@pytest.mark.parametrize(
    ("claim", "roles"),
    [
        (["a", "b"], ("a", "b")),
        ("a b", ("a", "b")),
        (None, ()),
        (7, ()),
        ({"a": 1}, ()),
        (["a", 7, None], ("a",)),
    ],
)
def test_roles_may_be_a_list_or_a_text_and_anything_else_is_none(
    claim: object, roles: tuple[str, ...]
) -> None:
    assert a_verifier().verify(token(roles=claim)).roles == roles


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


def test_while_the_issuer_does_not_answer_nothing_is_said_of_a_token() -> None:
    """Not even between two tries: a refusal would be kept by the gateway's cache."""
    keys, clock = Keys(jwk(KEY, "k1")), Time()
    keys.down = True
    verifier = a_verifier(keys, clock)
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            authorize(
                {"routeKey": "GET /devices", "headers": {"authorization": f"Bearer {token()}"}}, verifier, {}
            )
    assert len(keys.asked) == 1

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


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"},
        {**jwk(KEY, "k1"), "use": "enc"},
        {**jwk(KEY, "k1"), "alg": "RS512"},
        {**jwk(KEY, "k1"), "n": "!!"},
        {**jwk(KEY, "k1"), "n": 7},
        jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), "k1"),  # noqa: S505
        "k1",
    ],
)
def test_a_key_that_is_not_for_rs256_signatures_is_passed_over(entry: Any) -> None:
    with pytest.raises(Untrusted, match="key-unknown"):
        a_verifier(Keys(entry)).verify(token())


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": 3}', b"\xff", b"[" * 100_000])
def test_a_key_set_that_is_none_is_unavailable(document: bytes) -> None:
    verifier = Verifier((ISSUER,), fetch=lambda uri: document, now=lambda: float(NOW))
    with pytest.raises(KeysUnavailable):
        verifier.verify(token())


@given(st.text(max_size=200), st.dictionaries(st.text(), st.integers() | st.text()))
def test_no_text_makes_the_verifier_do_anything_but_refuse(text: str, header: dict[str, Any]) -> None:
    for attempt in (text, handmade(header, CLAIMS), handmade({"alg": "RS256", "kid": "k1"}, header)):
        with pytest.raises(Untrusted):
            a_verifier().verify(attempt)


@pytest.mark.parametrize(
    ("issuers", "named"),
    [
        ("x", "not JSON"),
        ("[]", "at least one"),
        ("{}", "at least one"),
        ('[{"issuer": "a", "audience": "b"}]', "jwks_uri"),
        ('[{"issuer": "a", "audience": "", "jwks_uri": "https://x"}]', "ISSUERS[0]"),
        ('[{"issuer": "a", "audience": "b", "jwks_uri": "http://id.test/jwks"}]', "https"),
        ('[{"issuer": "a", "audience": "b", "jwks_uri": "http://127.0.0.1.evil.test/"}]', "https"),
        ('[{"issuer": "a", "audience": "b", "jwks_uri": "file:///etc/passwd"}]', "https"),
        ('[{"issuer": "a", "audience": "b", "jwks_uri": "http://[::1"}]', "https"),
        ('[{"issuer": "a", "audience": "b", "jwks_uri": "https://x", "role_claim": "r"}]', "role_claim"),
    ],
)
def test_a_bad_issuer_is_refused_at_start_by_the_name_of_its_member(issuers: str, named: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse_issuers(issuers)
    assert named in str(refused.value)


def test_loopback_may_be_asked_over_plain_http() -> None:
    (issuer,) = parse_issuers('[{"issuer": "a", "audience": "b", "jwks_uri": "http://127.0.0.1:9/k"}]')
    assert issuer.roles_claim == "roles"


OVER = threading.Event()  # the tests that talk to the slow ones are


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/keys")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = b"x" * 300_000 if self.path == "/large" else b'{"keys": []}'
        if self.path == "/endless-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            with contextlib.suppress(OSError):
                while not OVER.wait(0.05):
                    self.wfile.write(b"x")
            self.close_connection = True
            return
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/silent":
            OVER.wait(10)  # the bound is on a real socket: no clock to pass
        with contextlib.suppress(OSError):  # who asked has hung up
            while self.path == "/drop-by-drop" and body and not OVER.wait(0.05):
                self.wfile.write(body[:1])
                body = body[1:]
            self.wfile.write(body)

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
    assert fetch(f"{web}/keys") == b'{"keys": []}'


@pytest.mark.parametrize("path", ["/moved", "/large", "/broken"])
def test_a_redirect_a_flood_and_an_error_are_no_keys(web: str, path: str) -> None:
    with pytest.raises(KeysUnavailable):
        fetch(web + path)


@pytest.mark.parametrize("path", ["/silent", "/drop-by-drop", "/endless-headers"])
def test_an_answer_that_takes_its_time_is_given_up_in_time_as_a_whole(web: str, path: str) -> None:
    began = time.monotonic()
    with pytest.raises(KeysUnavailable, match="keys-unavailable") as given_up:
        fetch(web + path, timeout_s=0.15)
    assert time.monotonic() - began < 2
    assert given_up.value.reason == "too slow"


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


def ask(route: str, presented: object, names: dict[str, str] | None = None) -> dict[str, Any]:
    event = {"routeKey": route, "headers": {"authorization": presented}}
    return authorize(event, a_verifier(), names or {})


@pytest.mark.parametrize("route", list(ROUTES))
def test_the_authorizer_lets_through_who_may_and_says_who_it_is_in_strings(route: str) -> None:
    assert ask(route, f"Bearer {token(roles='Fleet.Admin Fleet.Operator:line-3 Other')}") == {
        "isAuthorized": True,
        "context": {
            "subject": "ada",
            "roles": "Fleet.Admin Fleet.Operator:line-3",
            "exp": str(NOW + 600),
        },
    }


@pytest.mark.parametrize(
    ("route", "presented"),
    [
        ("POST /deployments", f"Bearer {token(roles=['Fleet.Operator'])}"),
        ("POST /deployments", f"Bearer {token(roles=[])}"),
        ("POST /deployments", f"Bearer {token(roles=['fleet.admin'])}"),
        ("POST /deployments", f"Basic {token()}"),
        ("POST /deployments", "Bearer"),
        ("POST /deployments", None),
        ("POST /deployments", f"Bearer {token(roles=[f'Fleet.Admin:{i:0>100}' for i in range(60)])}"),
        ("POST /else", f"Bearer {token()}"),
        ("$default", f"Bearer {token()}"),
    ],
)
def test_everybody_else_is_refused_without_a_word(route: str, presented: object) -> None:
    assert ask(route, presented) == {"isAuthorized": False}


@pytest.mark.parametrize("event", [{}, {"routeKey": 3, "headers": []}, {"routeKey": "GET /devices"}])
def test_an_event_of_another_shape_is_refused(event: dict[str, Any]) -> None:
    assert authorize(event, a_verifier(), {}) == {"isAuthorized": False}


def test_the_scheme_and_the_headers_name_may_be_in_any_case() -> None:
    event = {"routeKey": "GET /devices", "headers": {"Authorization": f"bearer {token()}"}}
    assert authorize(event, a_verifier(), {})["isAuthorized"]


def test_the_authorizer_starts_without_boto3_and_pydantic() -> None:
    code = (
        "import sys, cloud.functions.authorize\n"
        "print([m for m in ('boto3', 'botocore', 'pydantic', 'urllib3') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
