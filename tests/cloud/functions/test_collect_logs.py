"""Logs: as a bundle by a URL that is a secret, or as a few lines with the result."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests
from moto import mock_aws

from cloud.aws import clients
from cloud.aws.s3 import Bundles
from cloud.defaults import COMMAND_EXPIRY_S
from cloud.domain.commands.command import Command
from cloud.services.dispatch import Dispatcher
from cloud.tables.commands import Commands
from contract.commands import (
    UPLOAD_URL_MAX,
    Bundle,
    CollectLogsCommand,
    CommandState,
    parse_command,
)
from contract.defaults import COMMAND_MAX_BYTES, LOG_BUNDLE_BYTES
from contract.names import identifier
from tests.support.cloud.api import COMMANDS, NOW, body_of, empty
from tests.support.cloud.commanding import Api
from tests.support.cloud.fakes import FakeBroker

LOGS = "POST /devices/{device}/applications/{app}/logs"
COMMAND = identifier("cmd", unix_ms=1, random80=1)
BUCKET = "fleetgrass-somewhere-123456789012"
BUNDLE = Bundle(bytes=1234, sha256="a" * 64, truncated=True)


def sent(api: Api) -> list[CollectLogsCommand]:
    commands = [parse_command(payload) for _, payload in api.broker.published]
    return [command for command in commands if isinstance(command, CollectLogsCommand)]


def test_a_bundles_url_is_in_the_message_and_nowhere_else(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="cloud"):
        answer = api.order(LOGS)

    (message,) = sent(api)
    command = body_of(answer)["id"]
    assert message.upload is not None
    assert message.upload.url == f"https://bucket.example/robot-7/{command}?put=1"
    assert message.upload.max_bytes == LOG_BUNDLE_BYTES
    told = (str(answer), str(api.rows()), caplog.text, str(api.get(command)), str(api.page()))
    assert [text for text in told if "https://" in text] == []
    assert body_of(answer)["upload"] == {"max_bytes": LOG_BUNDLE_BYTES}


def test_a_bundles_url_is_a_new_one_whenever_it_is_sent_and_ends_with_the_command(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    api.order(LOGS, headers=headers)
    api.clock.advance(60)
    api.order(LOGS, headers=headers)

    first, again = sent(api)
    assert first.upload is not None
    assert again.upload is not None
    assert first.upload.url != again.upload.url
    assert first.model_copy(update={"upload": None}) == again.model_copy(update={"upload": None})
    assert [seconds for _, _, seconds in api.bundles.signed] == [
        COMMAND_EXPIRY_S + 300, COMMAND_EXPIRY_S + 300 - 60,
    ]  # fmt: skip


def test_a_few_lines_come_with_the_result(api: Api) -> None:
    command = body_of(api.order(LOGS, {"reason": "x", "bundle": False, "lines": 7}))["id"]
    api.says(command, CommandState.SUCCEEDED, log_lines=["one", "two"])

    (message,) = sent(api)
    assert (message.lines, message.upload, api.bundles.signed) == (7, None, [])
    body = body_of(api.get(command))
    assert (body["log_lines"], "bundle" in body) == (["one", "two"], False)


def test_a_bundle_is_shown_to_all_who_read_and_given_to_operators(api: Api) -> None:
    command = body_of(api.order(LOGS))["id"]
    api.says(command, CommandState.SUCCEEDED, bundle=BUNDLE)
    told = {"bytes": 1234, "sha256": "a" * 64, "truncated": True}

    for readers in ("Fleet.Reader", "Fleet.Reader:line-3 Fleet.Operator:line-4"):
        assert body_of(api.get(command, roles=readers))["bundle"] == told
    for operators in ("Fleet.Operator", "Fleet.Admin:line-3"):
        url = f"https://bucket.example/robot-7/{command}?get=300"
        assert body_of(api.get(command, roles=operators))["bundle"] == {**told, "url": url}
    api.clock.advance(7 * 24 * 3600)
    assert body_of(api.get(command))["bundle"] == told  # S3 has forgotten it


def signer(monkeypatch: pytest.MonkeyPatch, region: str, **environment: str) -> Any:
    token = "IQoJb3JpZ2luX2VjE+/=" * 75  # 1,500 characters; a function's are fewer
    credentials = {"AWS_ACCESS_KEY_ID": "A" * 20, "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": token}
    for name, value in {**credentials, "AWS_DEFAULT_REGION": region, **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    clients.s3_signer.cache_clear()
    return clients.s3_signer()


@pytest.fixture(autouse=True)
def forget_clients() -> Iterator[None]:
    yield
    clients.s3_signer.cache_clear()


@pytest.mark.parametrize(
    ("region", "host"),
    [("eu-west-1", "s3.eu-west-1.amazonaws.com"), ("us-east-1", "s3.amazonaws.com")],  # else a redirect
)
def test_a_url_is_of_the_buckets_own_host_and_signs_that_host_alone(
    monkeypatch: pytest.MonkeyPatch, region: str, host: str
) -> None:
    bundles = Bundles(signer(monkeypatch, region), BUCKET)

    for url, expires in (
        (bundles.put_url("robot:7", COMMAND, expires_in_s=900.4), "900"),
        (bundles.put_url("robot:7", COMMAND, expires_in_s=8 * 24 * 3600), "604800"),
        (bundles.get_url("robot:7", COMMAND, expires_in_s=300), "300"),
    ):
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        assert parts.netloc == f"{BUCKET}.{host}"
        assert parts.path == f"/bundles/robot%3A7/{COMMAND}.tar.gz"
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["X-Amz-SignedHeaders"] == ["host"]  # a PUT without further headers is enough
        assert query["X-Amz-Expires"] == [expires]
        assert not [name for name in query if "checksum" in name.lower()]


def test_at_an_endpoint_that_is_given_the_bucket_is_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = signer(monkeypatch, "eu-west-1", AWS_ENDPOINT_URL="http://localhost:4566")
    url = Bundles(s3, BUCKET).put_url("robot-7", COMMAND, expires_in_s=60)
    assert url.startswith(f"http://localhost:4566/{BUCKET}/bundles/robot-7/{COMMAND}.tar.gz?")


def test_the_longest_url_and_the_longest_words_fit_a_command(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty(table, COMMANDS)
    broker, device = FakeBroker(), ":" * 128
    bundles = Bundles(signer(monkeypatch, "ap-southeast-2"), "b" * 63)
    dispatcher = Dispatcher(Commands(table, COMMANDS), broker, bundles)

    collect = CollectLogsCommand(
        id=COMMAND, issued_at=NOW, expires_at=NOW + timedelta(days=7), requested_by="ä" * 128,
        reason="ä" * 256, command="collect-logs", application="x" * 40, lines=500,
    )  # fmt: skip
    dispatcher.issue(Command.made_of(device, collect, bundle=True))

    ((_, payload),) = broker.published
    message = parse_command(payload)
    assert isinstance(message, CollectLogsCommand)
    assert message.upload is not None
    assert 2000 < len(message.upload.url) <= UPLOAD_URL_MAX
    assert len(payload) < COMMAND_MAX_BYTES


def test_what_is_put_where_the_device_is_told_is_what_the_operator_gets() -> None:
    with mock_aws(), pytest.MonkeyPatch.context() as monkeypatch:
        s3 = signer(monkeypatch, "eu-west-1")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        bundles = Bundles(s3, BUCKET)
        put = requests.put(bundles.put_url("robot:7", COMMAND, expires_in_s=60), data=b"logs", timeout=5)
        got = requests.get(bundles.get_url("robot:7", COMMAND, expires_in_s=60), timeout=5)

        assert (put.status_code, got.content) == (200, b"logs")
