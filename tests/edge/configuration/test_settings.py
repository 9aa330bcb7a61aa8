"""Configuration: lenient about its form, strict about its meaning, and never the end of the agent."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.configuration.kept_settings import FILE, KeptSettings
from edge.configuration.settings import (
    DEFAULTS,
    EnvironmentInvalid,
    Settings,
    parse_environment,
    parse_settings,
)
from edge.ports.state import StateUnreadable
from tests.support.edge.fakes import FakeState, Fate

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
    assert parse_settings(LITE).complaint is None


@pytest.mark.parametrize("configuration", [{}, {"desired": None}, {"desired": {}}, {"heartbeat_s": None}])
def test_what_is_absent_or_null_is_the_default(configuration: dict[str, object]) -> None:
    found = parse_settings(configuration, Settings(heartbeat_s=5))

    assert found.settings.document_uri is None
    assert found.settings.heartbeat_s == 60.0
    assert found.complaint is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("heartbeat_s", "often"),
        ("heartbeat_s", "0"),
        ("heartbeat_s", "nan"),
        ("reboot_command", []),
        ("reboot_command", "systemctl reboot"),
        ("reboot_command", '["systemctl"'),
        ("reboot_command", ["systemctl\0"]),
        ("reboot_command", "[" * 200_000),
        ("publish_address", "everywhere"),
        ("publish_address", "fe80::1%eth0"),
        ("registry_mirrors", ["a"]),
        ("registry_mirrors", {"a": "https://mirror:5000"}),
        ("registry_mirrors", {"a": "mirror:5000/"}),
        ("registry_mirrors", {"a": "x" * 64}),
        ("secrets_folder", ""),
        ("secrets_folder", "/run/\0"),
        ("boot_id_path", "/\ud800"),
        ("desired", {"document_uri": 5}),
        ("log_level", "LOUD"),
        ("reboot_budget", "-1"),
    ],
)
def test_what_means_nothing_is_named_in_one_line_and_its_key_alone_keeps_the_last_good_value(
    key: str, value: object
) -> None:
    last_good = Settings(
        heartbeat_s=7,
        reboot_command=["true"],
        publish_address="127.0.0.1",
        registry_mirrors={"a": "b"},
        secrets_folder="/run/a",
        boot_id_path="/run/b",
        desired={"document_uri": "u"},
        log_level="ERROR",
        reboot_budget=9,
    )

    found = parse_settings({"reboot_grace_s": 33, key: value}, last_good)

    assert list(found.unusable) == [key]
    assert found.complaint is not None
    assert found.complaint.startswith(key)
    assert "\n" not in found.complaint
    assert found.settings == DEFAULTS.model_copy(
        update={"reboot_grace_s": 33.0, key: getattr(last_good, key)}
    )
    assert getattr(parse_settings({key: value}).settings, key) == getattr(DEFAULTS, key)


@pytest.mark.parametrize("mirror", ["127.0.0.1:5000", "mirror.example", "[::1]:5000", "m.example:443/eu"])
def test_a_mirror_is_a_host_with_what_image_names_have_of_one(mirror: str) -> None:
    assert parse_settings({"registry_mirrors": {"a": mirror}}).settings.registry_mirrors == {"a": mirror}


def test_every_key_that_is_no_good_is_named() -> None:
    found = parse_settings({"heartbeat_s": "often", "policy": {"privileged": "maybe"}, "log_level": "DEBUG"})

    assert list(found.unusable) == ["heartbeat_s", "policy"]
    assert (found.complaint or "").count("; ") == 1
    assert found.settings.log_level == "DEBUG"


def test_a_value_that_this_machine_cannot_use_gives_way_to_the_last_good_one_then_to_the_default() -> None:
    checks = {"reboot_command": lambda value: "there is no such command" if value == ["halt"] else None}
    bad, kept = {"reboot_command": ["halt"]}, Settings(reboot_command=["true"])

    assert parse_settings(bad, kept, checks).settings.reboot_command == ["true"]
    assert parse_settings(bad, Settings(reboot_command=["halt"]), checks).settings == DEFAULTS
    assert parse_settings(bad, kept, checks).complaint == "reboot_command: there is no such command"


def test_a_default_is_taken_even_if_this_machine_cannot_use_it_because_there_is_nothing_else() -> None:
    found = parse_settings({"reboot_command": DEFAULTS.reboot_command}, checks={"reboot_command": str})

    assert (found.settings, found.complaint) == (DEFAULTS, None)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | inner.map(lambda value: json.dumps(value, default=str))
    ),
    max_leaves=6,
)  # fmt: skip
_GOOD: dict[str, Any] = {
    "heartbeat_s": 5, "healthy_poll_s": 2, "reboot_budget": 2, "reboot_grace_s": 9, "disk_floor_mib": 1,
    "reboot_command": ["true"], "registry_mirrors": {"a": "b"}, "desired": {"document_uri": "u"},
    "publish_address": "127.0.0.1", "boot_id_path": "/run/b", "secrets_folder": "/run/s",
    "policy": {"privileged": True}, "report_usage": True, "log_level": "DEBUG",
}  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(_GOOD)), _VALUES)
def test_whatever_a_key_is_given_the_others_are_taken_and_what_is_used_can_be_kept(
    key: str, value: object
) -> None:
    found = parse_settings({**_GOOD, key: value})

    good = parse_settings(_GOOD).settings
    assert set(_GOOD) == set(Settings.model_fields)
    assert found.settings.model_copy(update={key: None}) == good.model_copy(update={key: None})
    assert "\n" not in (found.complaint or "")
    state = FakeState(Fate())
    KeptSettings(state).keep(found.settings)
    assert KeptSettings(state).settings == found.settings


def test_what_was_good_outlives_the_process_and_is_written_when_it_changes_only() -> None:
    state = FakeState(Fate())
    kept = KeptSettings(state)
    kept.keep(DEFAULTS)
    assert state.writes == 0

    kept.keep(Settings(heartbeat_s=7))
    kept.keep(Settings(heartbeat_s=7))

    assert state.writes == 1
    assert KeptSettings(state).settings == Settings(heartbeat_s=7)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"heartbeat_s": "oft', b"[" * 100_000])
def test_a_broken_file_of_good_values_is_set_aside_and_costs_only_them(content: bytes) -> None:
    state = FakeState(Fate())
    state.files[FILE] = content

    assert KeptSettings(state).settings == DEFAULTS
    assert state.aside == {FILE: content}


def test_a_key_of_the_file_that_this_version_does_not_take_costs_only_itself() -> None:
    state = FakeState(Fate())
    state.files[FILE] = b'{"heartbeat_s": 7, "log_level": "LOUD", "of_another_version": 1}'

    assert KeptSettings(state).settings == Settings(heartbeat_s=7)


def test_a_disk_that_takes_or_gives_nothing_does_not_end_the_agent() -> None:
    class Broken(FakeState):
        def read(self, name: str) -> bytes | None:
            raise StateUnreadable(name)

    state = Broken(Fate())
    state.files[FILE] = b""
    state.full = True

    kept = KeptSettings(state)
    kept.keep(Settings(heartbeat_s=7))

    assert kept.settings == Settings(heartbeat_s=7)


def test_an_environment_without_a_token_is_refused_by_name_and_never_shown() -> None:
    with pytest.raises(EnvironmentInvalid) as caught:
        parse_environment({"AWS_IOT_THING_NAME": "robot/7", "SVCUID": "secret"})

    assert str(caught.value).startswith("AWS_IOT_THING_NAME: ")
    assert "secret" not in str(caught.value)
