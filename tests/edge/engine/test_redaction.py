"""Nothing that a container was told in confidence is in what is repeated of its output."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.docker import DockerEngine
from edge.engine.redaction import LINE_LENGTH, redacted
from tests.support.engine.harness import EngineHarness
from tests.support.engine.tiny_registry import TinyRegistry

SECRETS = st.lists(st.text(alphabet="abc", min_size=4, max_size=8), max_size=4)


@given(st.lists(st.text(alphabet="abc ", max_size=40), max_size=4), SECRETS)
def test_no_secret_is_left_in_any_line(lines: list[str], secrets: list[str]) -> None:
    assert not any(secret in line for secret in secrets for line in redacted(lines, secrets))


def test_short_values_and_other_words_stay_and_long_lines_are_cut() -> None:
    assert redacted(["port 80 is on", "x" * 1000], ["80", "on", ""]) == ("port 80 is on", "x" * LINE_LENGTH)


def test_what_cannot_be_printed_hides_no_secret() -> None:
    said = ["\x00".join("hunter2"), "hun\x1bter2"]

    assert redacted(said, ["hunter2"]) == ("[redacted]", "[redacted]")
    assert redacted(said, ["hun\x1bter2"]) == ("[redacted]", "[redacted]")


def test_of_a_secret_of_several_lines_none_is_left() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADAN\n  BgkqhkiG9w0B\n"

    assert redacted(["a MIIEvQIBADAN b", "BgkqhkiG9w0B", "ok"], [key]) == (
        "a [redacted] b",
        "[redacted]",
        "ok",
    )


def test_of_a_secret_that_is_json_no_text_is_left() -> None:
    secret = '{"user": "fleet", "hosts": [{"password": "hunter2"}], "port": 5432}'

    assert redacted(["fleet logs in with hunter2 at 5432"], [secret, '{"not json']) == (
        "[redacted] logs in with [redacted] at 5432",
    )


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert redacted(["\x1b[31mred\x07"], []) == ("[31mred",)


@pytest.mark.engine
def test_a_real_container_is_quoted_without_the_values_of_its_environment(
    clean_docker_host: str, registry: TinyRegistry
) -> None:
    engine = DockerEngine({"DOCKER_HOST": clean_docker_host})
    harness = EngineHarness(engine, registry.reference, simulated=False)
    made = harness.create(
        command=("sh", "-c", "echo out $PASSWORD; echo err $PASSWORD >&2; exec sleep 60"),
        env={"PASSWORD": "hunter2-and-more"},
    )
    engine.start(made)
    try:
        lines: tuple[str, ...] = ()
        while len(lines) < 2:
            lines = engine.last_lines(made, 20)
        assert sorted(lines) == ["err [redacted]", "out [redacted]"]
        assert engine.last_lines(made, 1) in (("err [redacted]",), ("out [redacted]",))
        with engine.output(made, ["out"]) as everything:
            found = sorted(line.split(" ", 1) for line in everything)
        assert all(datetime.fromisoformat(time) < datetime.now(UTC) for time, _ in found)
        assert sorted(said for _, said in found) == ["err [redacted]", "out [redacted]"]
    finally:
        harness.clear()
        engine.close()
