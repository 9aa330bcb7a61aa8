"""The AWS calls, against moto: what is found, and what each refusal is called."""

import base64
from collections.abc import Iterator

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
    SecretValues,
)

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


def test_a_device_without_credentials_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials of earlier tests
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    found = answer(GetDocument(bucket="bucket", key="desired/a.json", max_bytes=99))

    assert isinstance(found, Failure)
    assert found.code == "no-credentials"


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
