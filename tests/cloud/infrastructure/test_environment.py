"""The environment of a function: what a variable may be, and that each is looked at once."""

import pytest

from cloud.defaults import OFFLINE_DEBOUNCE_S
from cloud.environment import Environment, InvalidEnvironment


def test_a_variable_is_parsed_once_and_one_that_need_not_be_there_has_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUBMITTING_STALE_S", "12.5")
    environment = Environment()

    assert (environment.submitting_stale_s, environment.offline_debounce_s) == (12.5, OFFLINE_DEBOUNCE_S)
    monkeypatch.setenv("SUBMITTING_STALE_S", "13")
    assert environment.submitting_stale_s == 12.5


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("DEVICES_TABLE", None, "DEVICES_TABLE: is missing"),
        ("DEVICES_TABLE", "", "DEVICES_TABLE: must not be empty"),
        *(
            ("OFFLINE_DEBOUNCE_S", wrong, "OFFLINE_DEBOUNCE_S: must be a number of seconds")
            for wrong in ("", "soon", "-1", "nan", "inf")
        ),
    ],
)
def test_what_is_missing_or_wrong_is_refused_by_its_name(
    name: str, value: str | None, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidEnvironment) as refused:
        getattr(Environment(), name.lower())
    assert str(refused.value) == refusal


def test_of_an_agents_version_nothing_is_a_value_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_VERSION", "")
    assert Environment().agent_version == ""
