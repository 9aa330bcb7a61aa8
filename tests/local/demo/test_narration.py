"""What a story prints where a claim does not become true."""

import io

import pytest
from rich.console import Console

from local.demo.demo import _asked
from local.demo.narration import Story, Untrue


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeApi:
    """Answers ``why`` as it is told to; ``asked`` is what it was asked for."""

    def __init__(self, status: int, **body: object) -> None:
        self._answer = (status, dict(body))
        self.asked: list[str] = []

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        self.asked.append(path)
        return self._answer


def told(api: FakeApi, *, becomes_true_at_s: float) -> tuple[str, str]:
    """Return what is printed of one claim about robot-1, and what is wrong with it after ten seconds."""
    clock, output = Clock(), io.StringIO()
    console = Console(file=output, soft_wrap=True)
    story = Story(console, simulated=False, monotonic=clock.monotonic, sleep=clock.sleep)

    def look() -> tuple[bool | None, str]:
        return (True if clock.now >= becomes_true_at_s else None), "not yet"

    try:
        story.eventually("it runs", look, within_s=10, why=_asked(api, "robot-1"))  # type: ignore[arg-type]
    except Untrue as untrue:
        return output.getvalue(), str(untrue)
    return output.getvalue(), ""


def test_a_claim_that_does_not_come_true_in_time_is_followed_by_what_the_api_says_why() -> None:
    api = FakeApi(200, code="registry-denied", message="[403] not authorized", application="hello")

    printed, wrong = told(api, becomes_true_at_s=99)

    assert wrong == "it runs: not within 10 s; not yet"
    assert "why robot-1: hello: registry-denied: [403] not authorized" in printed
    assert api.asked == ["/devices/robot-1/why"]


def test_a_claim_that_comes_true_asks_nothing() -> None:
    api = FakeApi(200, code="as-desired", message="it is")

    printed, wrong = told(api, becomes_true_at_s=3)

    assert wrong == ""
    assert "why" not in printed
    assert api.asked == []


@pytest.mark.parametrize("status", [404, 503])
def test_an_api_that_does_not_know_either_is_quoted(status: int) -> None:
    printed, _ = told(FakeApi(status, code="x"), becomes_true_at_s=99)

    assert f"robot-1: why answered {status}" in printed
