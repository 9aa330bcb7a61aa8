"""The AWS calls, against moto: what is found, and what each refusal is called."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import boto3
import pytest
from moto import mock_aws

from edge.aws.calls import answer
from edge.aws.messages import (
    Document,
    Failure,
    GetDocument,
    GetRegistryLogin,
    GetSecrets,
    RegistryLogin,
    Request,
    SecretValues,
)
from local.process.http_server import LoopbackServer

pytestmark = pytest.mark.slow

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client = boto3.client("s3", region_name="eu-west-1")
        client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client.put_object(Bucket="bucket", Key="desired/a.json", Body=b'{"v":1}')
        yield


def test_a_document_comes_byte_for_byte() -> None:
    found = answer(GetDocument(bucket="bucket", key="desired/a.json", max_bytes=7))

    assert isinstance(found, Document)
    assert base64.b64decode(found.base64) == b'{"v":1}'


@pytest.mark.parametrize(
    ("bucket", "key", "max_bytes", "code"),
    [
        ("bucket", "desired/a.json", 6, "too-large"),
        ("bucket", "desired/b.json", 99, "missing"),
        ("no-such-bucket", "desired/a.json", 99, "missing"),
    ],
)
def test_what_cannot_be_had_is_named(bucket: str, key: str, max_bytes: int, code: str) -> None:
    found = answer(GetDocument(bucket=bucket, key=key, max_bytes=max_bytes))

    assert isinstance(found, Failure)
    assert found.code == code


def test_a_registry_login_is_taken_apart_and_hides_its_password() -> None:
    found = answer(GetRegistryLogin(registry=REGISTRY))

    assert isinstance(found, RegistryLogin)
    assert (found.username, bool(found.password)) == ("AWS", True)
    assert found.password not in repr(found)


def test_only_ecr_has_logins() -> None:
    found = answer(GetRegistryLogin(registry="docker.io"))

    assert isinstance(found, Failure)
    assert found.code == "not-ecr"


@pytest.fixture
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")


REQUESTS: list[Request] = [
    GetDocument(bucket="bucket", key="desired/a.json", max_bytes=99),
    GetRegistryLogin(registry=REGISTRY),
    GetSecrets(sources=["ssm:/fleetgrass/key"]),
]


@pytest.mark.usefixtures("without_keys")
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: each.kind)
def test_a_device_without_credentials_is_told_so(request_: Request) -> None:
    found = answer(request_)

    assert isinstance(found, Failure)
    assert found.code == "no-credentials"


class TokenExchange:
    """The local endpoint of the token exchange service: an answer, or (status 0) a way not to answer."""

    def __init__(self, status: int, content: bytes, *, trickles: bool = False) -> None:
        released = self._released = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if trickles:
                    self.send_response(200)
                    while not released.wait(0.05):
                        self.wfile.write(b"X: y\r\n")
                elif status:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                else:
                    released.wait(30.0)
                self.close_connection = True

            def log_message(self, *_: object) -> None: ...

        self.server = LoopbackServer(0, Handler, None)

    def __enter__(self) -> "TokenExchange":
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self.server.stop()


@pytest.mark.usefixtures("without_keys")
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: each.kind)
@pytest.mark.parametrize("trickles", [False, True], ids=["silent", "trickling"])
def test_an_endpoint_of_token_exchange_that_does_not_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch, request_: Request, trickles: bool
) -> None:
    with TokenExchange(0, b"", trickles=trickles) as tes:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://{tes.server.address}/")

        found = answer(request_, credentials_s=0.4)

    assert found == Failure(code="no-credentials", message="no answer from token exchange within 0.4 s")


CACHED = "TES responded with status code: 403. Caching response. "


@pytest.mark.usefixtures("without_keys")
def test_the_end_of_what_token_exchange_says_is_told_because_it_is_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cause = f"{CACHED}{'x' * 1_000}: role alias is not allowed"
    with TokenExchange(403, cause.encode()) as tes:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://{tes.server.address}/")

        found = answer(REQUESTS[0])

    assert isinstance(found, Failure)
    assert found.code == "no-credentials"
    assert f"response 403 from container metadata: {CACHED}" in found.message
    assert found.message.endswith(": role alias is not allowed")
    assert len(found.message.encode()) <= 350


EXPIRED = {"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": "2020-01-01T00:00:00Z"}


@pytest.mark.usefixtures("without_keys")
@pytest.mark.parametrize("content", [b"{}", b"[]", b"<html>", b"null", json.dumps(EXPIRED).encode()])
def test_an_answer_of_token_exchange_that_is_no_use_is_no_credentials(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    with TokenExchange(200, content) as tes:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://{tes.server.address}/")

        found = answer(REQUESTS[0])

    assert isinstance(found, Failure)
    assert found.code == "no-credentials"


@pytest.mark.parametrize("code", ["ExpiredToken", "UnrecognizedClientException", "RequestTimeTooSkewed"])
def test_credentials_that_aws_does_not_take_are_none(code: str) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = f"<Error><Code>{code}</Code></Error>".encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = LoopbackServer(0, Refusing, None)
    server.start()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ENDPOINT_URL", f"http://{server.address}")
            found = answer(REQUESTS[0])
    finally:
        server.stop()

    assert found == Failure(code="no-credentials", message=f"GetObject: {code}")


def test_an_endpoint_that_nobody_listens_on_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    found = answer(GetDocument(bucket="bucket", key="desired/a.json", max_bytes=99))

    assert isinstance(found, Failure)
    assert found.code == "unreachable"


def a_secret(name: str, **value: str | bytes) -> None:
    boto3.client("secretsmanager", region_name="eu-west-1").create_secret(Name=name, **value)


def test_secrets_come_byte_for_byte_from_both_places_and_are_not_shown() -> None:
    a_secret("fleetgrass/text", SecretString="grün")
    a_secret("fleetgrass/bytes", SecretBinary=b"\x00\xff")
    boto3.client("ssm", region_name="eu-west-1").put_parameter(
        Name="/fleetgrass/key", Value="hunter2", Type="SecureString"
    )
    wanted = ["secretsmanager:fleetgrass/text", "secretsmanager:fleetgrass/bytes", "ssm:/fleetgrass/key"]

    found = answer(GetSecrets(sources=wanted))

    assert isinstance(found, SecretValues)
    values = {source: base64.b64decode(value) for source, value in found.values.items()}
    assert values == dict(zip(wanted, ["grün".encode(), b"\x00\xff", b"hunter2"], strict=True))
    assert all(value not in repr(found) for value in found.values.values())


@pytest.mark.parametrize("source", ["secretsmanager:fleetgrass/nobody", "ssm:/fleetgrass/nobody"])
def test_one_missing_secret_is_named_and_none_is_given(source: str) -> None:
    a_secret("fleetgrass/text", SecretString="hunter2")

    found = answer(GetSecrets(sources=["secretsmanager:fleetgrass/text", source]))

    assert isinstance(found, Failure)
    assert found.code == "missing"
    assert found.message.startswith(f"{source}: ")
    assert "hunter2" not in repr(found)
