"""Configuration: lenient about its form, strict about its meaning."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.settings import ConfigurationInvalid, parse_environment, parse_settings

LITE = {
    "heartbeat_s": "5",
    "healthy_poll_s": "0.5",
    "reboot_budget": "2",
    "reboot_command": '["sh", "-c", "echo reboot > ../power"]',
    "registry_mirrors": '{"000000000000.dkr.ecr.eu-west-1.amazonaws.com": "127.0.0.1:5000"}',
    "desired": {"document_uri": "s3://b/desired/x.json"},
    "log_level": "DEBUG",
    "accessControl": {"aws.greengrass.ipc.mqttproxy": {}},
}


def test_a_lite_configuration_of_strings_means_the_same_as_a_typed_one() -> None:
    typed = {
        **LITE,
        "heartbeat_s": 5,
        "healthy_poll_s": 0.5,
        "reboot_budget": 2,
        "reboot_command": ["sh", "-c", "echo reboot > ../power"],
        "registry_mirrors": {"000000000000.dkr.ecr.eu-west-1.amazonaws.com": "127.0.0.1:5000"},
    }

    assert parse_settings(LITE) == parse_settings(typed)


@pytest.mark.parametrize("configuration", [{}, {"desired": None}, {"desired": {}}, {"heartbeat_s": None}])
def test_what_is_absent_or_null_is_the_default(configuration: dict[str, object]) -> None:
    found = parse_settings(configuration)

    assert found.document_uri is None
    assert found.heartbeat_s == 60.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("heartbeat_s", "often"),
        ("heartbeat_s", "0"),
        ("reboot_command", []),
        ("reboot_command", "systemctl reboot"),
        ("reboot_command", '["systemctl"'),
        ("publish_address", "everywhere"),
        ("registry_mirrors", ["a"]),
        ("log_level", "LOUD"),
        ("reboot_budget", "-1"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line_that_begins_with_its_key(key: str, value: object) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        parse_settings({key: value})

    assert str(caught.value).startswith(f"{key}")
    assert "\n" not in str(caught.value)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_VALUES = (
    _SCALARS | st.lists(_SCALARS, max_size=3) | st.dictionaries(st.text(max_size=4), _SCALARS, max_size=3)
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(LITE)), _VALUES))
def test_no_configuration_raises_anything_else(configuration: dict[str, object]) -> None:
    try:
        parse_settings(configuration)
    except ConfigurationInvalid as error:
        assert "\n" not in str(error)  # noqa: PT017  # either outcome is right


def test_an_environment_without_a_token_is_refused_by_name_and_never_shown() -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        parse_environment({"AWS_IOT_THING_NAME": "robot/7", "SVCUID": "secret"})

    assert str(caught.value).startswith("AWS_IOT_THING_NAME: ")
    assert "secret" not in str(caught.value)
