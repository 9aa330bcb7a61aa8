"""The devices table, on DynamoDB in memory: the conditions say what the pure functions say."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.device import Device
from cloud.hearing import hear
from cloud.presence import Presence, supersedes
from cloud.tables.device_rows import confirmation
from cloud.tables.devices import Devices, Effect
from contract.reports import ApplicationStatus, DesiredStatus, split
from tests.cloud.api import NOW
from tests.cloud.devices import (
    Calls,
    a_connection_event,
    a_presence,
    a_report,
    a_status,
    at,
    devices_table,
    dynamodb_in_memory,
    news,
)
from tests.cloud.test_hearing import histories

Table = tuple[Devices, Calls]
PER_EXAMPLE = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_numbers = iter(range(10**6))


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with dynamodb_in_memory() as client:
        yield client


@pytest.fixture(scope="module")
def memory(dynamodb: Any) -> Table:
    return devices_table(dynamodb)


def enrolled(table: Devices) -> str:
    """A device of its own for whoever asks."""
    name = f"robot-{next(_numbers)}"
    assert table.create(name, "line-3", now=NOW)
    return name


def known(table: Devices, name: str) -> Device:
    device = table.get(name)
    assert device is not None
    return device


def test_an_enrolled_device_is_unseen_and_enrolling_again_changes_nothing(memory: Table) -> None:
    table, _ = memory
    name = enrolled(table)

    assert not table.create(name, "line-4", now=at(60))
    assert known(table, name) == Device(name, "line-3", enrolled_at=NOW)


def test_what_was_never_enrolled_gets_no_row(memory: Table) -> None:
    table, _ = memory

    assert not table.record_presence(replace(a_presence(True), device="ghost"))
    assert table.apply(news(a_report(1), 1, "ghost")).effect is Effect.NOT_ENROLLED
    assert table.get("ghost") is None


def test_an_unchanged_report_is_one_call_and_a_changed_one_two(memory: Table) -> None:
    table, calls = memory
    name = enrolled(table)
    statuses = [a_status("web", message="é" * 50), a_status("db", "UNHEALTHY", code="http-500")]
    desired = DesiredStatus(state="CONVERGED", revision=3, document_sha256="ab")

    def counted(sequence: int, *more: object, state: str = "RUNNING") -> tuple[Effect, list[str]]:
        calls.clear()
        report = a_report(sequence, *statuses, a_status("third", state), desired=desired)
        return table.apply(news(report, sequence, name)).effect, list(calls)

    assert counted(1) == (Effect.CHANGED, ["UpdateItem"] * 2)
    assert counted(2) == (Effect.UNCHANGED, ["UpdateItem"])
    assert counted(2) == (Effect.OLD, ["UpdateItem"])
    assert counted(3, state="FAILED") == (Effect.CHANGED, ["UpdateItem"] * 2)
    assert counted(4, state="FAILED") == (Effect.UNCHANGED, ["UpdateItem"])
    device = known(table, name)
    assert (device.sequence, device.host["uptime_s"], device.last_report_at) == (4, 4.0, at(4))
    assert set(device.application_sequences.values()) == {4}


def test_every_part_of_an_unchanged_report_of_64_applications_is_one_call(memory: Table) -> None:
    table, calls = memory
    name = enrolled(table)
    statuses = [a_status(f"app-{i}", message="x" * 300, image="i" * 200) for i in range(64)]
    for sequence in (1, 2):
        parts = split(a_report(sequence, *statuses))
        assert len(parts) > 1
        calls.clear()
        effects = {table.apply(news(part, sequence + i / 100, name)).effect for i, part in enumerate(parts)}

    assert effects == {Effect.UNCHANGED}
    assert list(calls) == ["UpdateItem"] * len(parts)
    assert set(known(table, name).application_sequences.values()) == {2}


def test_what_64_applications_say_fits_into_dynamodbs_expressions() -> None:
    """4 KB and 300 operators each (DynamoDB developer guide, "Service quotas"); moto has no bounds."""
    report = a_report(1, *(a_status(f"app-{i}") for i in range(64)), desired=DesiredStatus(state="CONVERGED"))

    write = confirmation(news(report, 1))

    for expression in (write.change, f"attribute_exists(device) AND {write.condition}"):
        assert len(expression) <= 4096
        assert len(re.findall(r"[<=+]+|AND|_exists", expression)) <= 300


@pytest.mark.parametrize(
    "statuses",
    [[a_status(f"app-{i}") for i in range(65)], [a_status("web"), a_status("web", "STOPPED")]],
    ids=["more than an expression says", "one of them twice"],
)
def test_a_report_that_no_expression_can_say_is_heard_all_the_same(
    memory: Table, statuses: list[ApplicationStatus]
) -> None:
    table, calls = memory
    name = enrolled(table)
    for sequence in (1, 2):
        report = a_report(sequence, *statuses)
        calls.clear()
        assert table.apply(news(report, sequence, name)).effect is Effect.CHANGED
        assert list(calls) == ["UpdateItem"] * 2
    device = known(table, name)
    assert set(device.application_sequences.values()) == {2}
    assert device.applications.keys() == {status.name for status in statuses}


@PER_EXAMPLE
@given(st.data())
def test_messages_in_any_order_make_the_row_that_hear_makes(memory: Table, data: st.DataObject) -> None:
    table, _ = memory
    name = enrolled(table)
    in_order = [replace(message, device=name) for message in data.draw(histories())]
    repeats = data.draw(st.lists(st.sampled_from(in_order), max_size=3))
    expected = known(table, name)
    for message in data.draw(st.permutations(in_order + repeats)):
        table.apply(message)
        expected = hear(expected, message)
    assert replace(known(table, name), writes=0) == expected


@PER_EXAMPLE
@given(
    st.lists(
        st.builds(
            a_presence,
            st.booleans(),
            st.integers(0, 2),
            session=st.sampled_from(["s1", "s2"]),
            event=st.sampled_from([0, 5, 1799, 1800, 1801, 4000]),
        ),
        max_size=6,
    )
)
def test_the_condition_on_presence_is_supersedes(memory: Table, events: list[Presence]) -> None:
    table, _ = memory
    name = enrolled(table)
    stored: Presence | None = None
    for event in events:
        counts = supersedes(event, stored)
        assert table.record_presence(replace(event, device=name)) is counts
        stored = event if counts else stored
    if stored is not None:
        device = known(table, name)
        assert device.connected is stored.connected
        assert (device.connected_since if stored.connected else device.offline_since) == stored.received_at
        assert (device.offline_since if stored.connected else device.connected_since) is None


def test_presence_and_reports_do_not_undo_each_other(memory: Table) -> None:
    table, _ = memory
    name = enrolled(table)
    table.record_presence(replace(a_presence(True), device=name))
    table.apply(news(a_connection_event(1), 1, name))
    table.record_presence(replace(a_presence(False, event=9), device=name))
    table.apply(news(a_report(2, a_status()), 2, name))

    device = known(table, name)

    assert (device.connected, device.offline_since, device.sequence) == (False, at(9), 2)


def test_devices_are_listed_in_order_of_name_page_by_page_in_two_calls(dynamodb: Any) -> None:
    table, calls = devices_table(dynamodb)
    for name in ("c", "a", "e", "b", "d"):
        table.create(name, "odd" if name in "ace" else "even", now=NOW)
    calls.clear()

    pages = [table.page(None, 2), table.page("b", 2), table.page("d", 2)]

    assert [[d.name for d in page.devices] for page in pages] == [["a", "b"], ["c", "d"], ["e"]]
    assert [page.cursor for page in pages] == ["b", "d", None]
    assert calls == ["Query", "BatchGetItem"] * 3
    assert [d.name for d in table.page(None, 2, "odd").devices] == ["a", "c"]
    assert [d.name for d in table.page("c", 2, "odd").devices] == ["e"]
    assert table.page(None, 10, "none").devices == ()


def test_a_group_is_given_whole_with_applications(dynamodb: Any) -> None:
    table, calls = devices_table(dynamodb)
    names = [f"robot-{i:03d}" for i in range(102)]
    for name in names:
        table.create(name, "line-3", now=NOW)
    table.apply(news(a_report(1, a_status()), 1, "robot-101"))

    found = table.in_group("line-3")
    calls.clear()
    assert table.names_in_group("line-3") == [device.name for device in found]
    assert set(calls) == {"Query"}

    assert [device.name for device in found] == names
    assert "web" in found[101].applications
