"""The two AWS calls, against moto: what is found, and what each refusal is called."""

import base64
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from edge.aws.calls import answer
from edge.aws.messages import Document, Failure, GetDocument, GetRegistryLogin, RegistryLogin

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
