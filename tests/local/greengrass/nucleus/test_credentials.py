import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import requests
from botocore.utils import ContainerMetadataFetcher

from local.greengrass.nucleus.services.credentials import (
    AssumedRole,
    Credentials,
    CredentialsUnavailable,
    KeptRole,
    TokenExchange,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class FakeRole:
    """A role whose sessions last an hour; ``now`` is its clock."""

    now: datetime = NOON
    denied: bool = False
    fails: CredentialsUnavailable | None = None
    given: list[Credentials] = field(default_factory=list)

    def assume(self) -> Credentials:
        if self.denied:
            raise CredentialsUnavailable("AccessDenied", 403)
        if self.fails is not None:
            raise self.fails
        self.given.append(
            Credentials(f"AKIA{len(self.given)}", "secret", "session", self.now + timedelta(hours=1))
        )
        return self.given[-1]


@pytest.fixture
def role() -> FakeRole:
    return FakeRole()


@pytest.fixture
def exchange(role: FakeRole) -> Iterator[TokenExchange]:
    service = TokenExchange(role, lambda token: token == "right")
    service.start()
    yield service
    service.stop()


def status_for(url: str, headers: dict[str, str]) -> int:
    return requests.get(url, headers=headers, timeout=5).status_code


def test_botocore_gets_the_roles_session_with_the_components_token(
    exchange: TokenExchange, role: FakeRole
) -> None:
    got = ContainerMetadataFetcher().retrieve_full_uri(exchange.url, {"Authorization": "right"})

    assert (got["AccessKeyId"], got["Token"]) == ("AKIA0", "session")
    assert got["Expiration"] == "2026-11-22T13:00:00Z"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "wrong"}, {"Authorization": ""}])
def test_without_a_tokens_proof_there_is_nothing(
    exchange: TokenExchange, role: FakeRole, headers: dict[str, str]
) -> None:
    assert status_for(exchange.url, headers) == 403
    assert role.given == []


def test_a_role_that_is_denied_is_an_error_and_not_a_crash(exchange: TokenExchange, role: FakeRole) -> None:
    role.denied = True

    answer = requests.get(exchange.url, headers={"Authorization": "right"}, timeout=5)
    assert (answer.status_code, answer.text) == (
        403,
        "TES responded with status code: 403. Caching response. AccessDenied",
    )


def test_no_connection_is_a_500_that_says_so(exchange: TokenExchange, role: FakeRole) -> None:
    role.fails = CredentialsUnavailable("connection refused")

    answer = requests.get(exchange.url, headers={"Authorization": "right"}, timeout=5)

    assert (answer.status_code, answer.text) == (500, "Failed to get connection")


@pytest.mark.parametrize(("status", "minutes"), [(403, 2), (500, 1), (None, 5)])
def test_an_error_is_kept_though_its_cause_is_gone(status: int | None, minutes: int) -> None:
    role = FakeRole(fails=CredentialsUnavailable("it failed", status))
    kept = KeptRole(role, lambda: role.now)
    with pytest.raises(CredentialsUnavailable):
        kept.assume()
    role.fails = None

    role.now = NOON + timedelta(minutes=minutes, seconds=-1)
    with pytest.raises(CredentialsUnavailable):
        kept.assume()
    role.now = NOON + timedelta(minutes=minutes)

    assert kept.assume().access_key == "AKIA0"


def test_a_provider_that_accepts_and_says_nothing_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", "the stand-in's own")
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "secret")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        role = AssumedRole(url, "eu-west-1", "arn:aws:iam::000000000000:role/a-role", "robot-1")
        service = TokenExchange(KeptRole(role), lambda _: True)
        service.start()
        try:
            with pytest.raises(requests.ReadTimeout):
                requests.get(service.url, headers={"Authorization": "right"}, timeout=1)
        finally:
            service.stop()


def test_each_start_of_token_exchange_has_another_port(exchange: TokenExchange) -> None:
    before = exchange.url

    exchange.restart()

    assert exchange.url != before
    assert status_for(exchange.url, {"Authorization": "right"}) == 200
    with pytest.raises(requests.ConnectionError):
        status_for(before, {"Authorization": "right"})


def test_a_session_is_kept_until_five_minutes_before_its_end() -> None:
    role = FakeRole()
    kept = KeptRole(role, lambda: role.now)

    role.now = NOON
    first = kept.assume()
    role.now = NOON + timedelta(minutes=54)
    second = kept.assume()
    role.now = NOON + timedelta(minutes=56)
    third = kept.assume()

    assert first == second
    assert third != first


def test_the_answer_is_json_that_every_sdk_reads(exchange: TokenExchange) -> None:
    answer = requests.get(exchange.url, headers={"Authorization": "right"}, timeout=5)

    assert set(answer.json()) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
