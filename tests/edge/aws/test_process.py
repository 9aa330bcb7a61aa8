"""The parent's side of the AWS process: bounded, typed, and silent about secrets."""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from edge.aws.logins import RegistryLogins
from edge.aws.messages import RegistryLogin
from edge.aws.process import AwsProcess, AwsUnavailable
from edge.aws.secrets import AwsSecrets
from edge.containers.model.errors import SecretsUnavailable
from edge.containers.model.image_references import CredentialsUnavailable
from tests.support.edge.fakes import START, FakeClock

URI = f"s3://bucket/desired/{'a' * 64}.json"
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


def answering(answer: object, *, status: int = 0) -> AwsProcess:
    """Return an AWS process whose child says ``answer`` whatever it is asked."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    script = f"import sys; sys.stdin.read(); sys.stdout.write({text!r}); sys.exit({status})"
    return AwsProcess((sys.executable, "-c", script), answer_s=20.0)


def test_a_document_arrives() -> None:
    content = b"\x00\xff"
    process = answering({"kind": "document", "base64": base64.b64encode(content).decode()})

    assert process.document(URI) == content


def test_secrets_arrive_byte_for_byte() -> None:
    process = answering({"kind": "secret-values", "values": {"ssm:a": "AP8=", "ssm:b": ""}})

    assert process.secrets({"ssm:b", "ssm:a"}) == {"ssm:a": b"\x00\xff", "ssm:b": b""}


@pytest.mark.parametrize("values", [{}, {"ssm:a": "§"}, {"ssm:a": "", "ssm:other": ""}])
def test_secrets_other_than_those_asked_for_are_no_answer(values: dict[str, str]) -> None:
    with pytest.raises(AwsUnavailable) as caught:
        answering({"kind": "secret-values", "values": values}).secrets({"ssm:a"})

    assert caught.value.code == "bad-answer"
    assert "§" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"kind": "failure", "code": "access-denied", "message": "GetObject: AccessDenied"}, "access-denied"),
        ("Traceback (most recent call last):", "bad-answer"),
        ("", "bad-answer"),
        ({"kind": "document", "base64": "§"}, "bad-answer"),
        (
            {
                "kind": "registry-login",
                "username": "AWS",
                "password": "p",
                "expires_at": "2026-01-01T00:00:00Z",
            },
            "bad-answer",
        ),
    ],
)
def test_every_other_answer_is_an_error_with_a_code(answer: object, code: str) -> None:
    with pytest.raises(AwsUnavailable) as caught:
        answering(answer).document(URI)

    assert caught.value.code == code


def test_an_answer_that_cannot_be_read_is_not_shown_because_it_may_hold_a_token() -> None:
    with pytest.raises(AwsUnavailable) as caught:
        answering('{"kind": "registry-login", "password": "hunter2"').registry_login(REGISTRY)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_child_that_hangs_is_ended() -> None:
    process = AwsProcess((sys.executable, "-c", "import time; time.sleep(60)"), answer_s=0.3)

    with pytest.raises(AwsUnavailable) as caught:
        process.document(URI)

    assert caught.value.code == "timeout"


def test_the_real_child_answers_over_its_pipes() -> None:
    with pytest.raises(AwsUnavailable) as caught:
        AwsProcess().registry_login("docker.io")

    assert caught.value.code == "not-ecr"


def test_the_agent_process_never_loads_boto3() -> None:
    code = "import sys, edge.__main__; print({'boto3', 'botocore'} & set(sys.modules))"

    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert found.stdout.strip() == "set()"


class Ecr:
    """Counts the logins it gives."""

    def __init__(self, life: timedelta = timedelta(hours=12)) -> None:
        self.given = 0
        self.life = life
        self.refusal: AwsUnavailable | None = None

    def __call__(self, registry: str) -> RegistryLogin:
        if self.refusal is not None:
            raise self.refusal
        self.given += 1
        return RegistryLogin(username="AWS", password=f"token-{self.given}", expires_at=START + self.life)


def test_a_login_is_kept_for_its_life_and_no_longer() -> None:
    clock, ecr = FakeClock(), Ecr()
    logins = RegistryLogins(ecr, clock)

    first = logins.get(REGISTRY)
    clock.advance(11 * 3600)
    assert logins.get(REGISTRY) == first
    clock.advance(3600)
    assert logins.get(REGISTRY) != first


def test_a_refused_login_is_replaced_even_if_it_is_new() -> None:
    logins = RegistryLogins(ecr := Ecr(), FakeClock())
    first = logins.get(REGISTRY)

    assert logins.get(REGISTRY, fresh=True) != first
    assert ecr.given == 2


def test_a_device_whose_clock_is_years_late_still_renews_within_twelve_hours() -> None:
    clock, ecr = FakeClock(), Ecr(life=timedelta(days=20_000))
    logins = RegistryLogins(ecr, clock)
    logins.get(REGISTRY)

    clock.advance(12 * 3600 + 1)
    logins.get(REGISTRY)

    assert ecr.given == 2


def test_a_device_whose_clock_is_years_ahead_does_not_ask_for_every_pull() -> None:
    clock, ecr = FakeClock(), Ecr()
    clock.date = datetime(2099, 1, 1, tzinfo=UTC)
    logins = RegistryLogins(ecr, clock)

    logins.get(REGISTRY)
    logins.get(REGISTRY)

    assert ecr.given == 1


def test_without_a_login_the_reason_is_passed_on() -> None:
    ecr = Ecr()
    ecr.refusal = AwsUnavailable("access-denied", "GetAuthorizationToken")

    with pytest.raises(CredentialsUnavailable) as caught:
        RegistryLogins(ecr, FakeClock()).get(REGISTRY)

    assert caught.value.code == "access-denied"


@pytest.mark.parametrize(
    ("code", "told"), [("no-credentials", "no-credentials"), ("access-denied", "secret-access-denied")]
)
def test_a_secret_that_only_lacks_credentials_is_told_as_everything_else_that_does(
    code: str, told: str
) -> None:
    def fetch(sources: Collection[str]) -> Mapping[str, bytes]:
        raise AwsUnavailable(code, f"{min(sources)}: why")

    with pytest.raises(SecretsUnavailable, match="ssm:a: why") as caught:
        AwsSecrets(fetch).get({"ssm:a"})

    assert caught.value.code == told


class AskedClock(FakeClock):
    """Tells when another thread than this one has asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)
        self._owner = threading.current_thread()

    def monotonic(self) -> float:
        if threading.current_thread() is not self._owner:
            self.asked.release()
        return super().monotonic()


def test_who_waits_for_a_login_that_fails_gets_its_failure_and_who_asks_later_a_new_try() -> None:
    clock, failures = AskedClock(), list[str]()
    fetches = 0

    def get() -> None:
        try:
            logins.get(REGISTRY)
        except CredentialsUnavailable as error:
            failures.append(str(error))

    others = [threading.Thread(target=get) for _ in range(3)]

    def fetch(registry: str) -> RegistryLogin:
        nonlocal fetches
        fetches += 1
        if fetches == 1:
            for each in others:
                each.start()
            for _ in others:
                assert clock.asked.acquire(timeout=10.0)
            clock.advance(9.0)
        raise AwsUnavailable("no-credentials", f"{registry}: failure {fetches}")

    logins = RegistryLogins(fetch, clock)
    get()
    for each in others:
        each.join()
    get()

    assert failures == [f"{REGISTRY}: failure 1"] * 4 + [f"{REGISTRY}: failure 2"]


def test_threads_that_need_the_same_login_share_one_request() -> None:
    logins = RegistryLogins(ecr := Ecr(), FakeClock())
    threads = [threading.Thread(target=logins.get, args=(REGISTRY,)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ecr.given == 1
