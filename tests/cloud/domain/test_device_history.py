"""A device's key figures over the last day: written once a span, read for plotting, gone by themselves."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.aws.attributes import to_item
from cloud.defaults import HISTORY_POINT_S, HISTORY_S
from cloud.domain.devices.device_history import point_of
from cloud.domain.timestamps import from_ms, to_ms
from cloud.functions.devices.get_device_history import get_device_history
from cloud.tables.devices import Devices, Effect
from cloud.tables.history import History
from contract.reports import HostHealth
from tests.support.cloud.answers import served
from tests.support.cloud.api import NOW, Clock, a_device, an_event, body_of
from tests.support.cloud.devices import (
    Calls,
    a_connection_event,
    a_report,
    a_status,
    at,
    devices_and_history,
    news,
)

ROUTE = "GET /devices/{device}/history"
PATH = {"device": "robot-7"}


@dataclass
class HistoryHarness:
    devices: Devices
    history: History
    calls: Calls
    clock: Clock

    def told(self, *messages: Any) -> list[Effect]:
        return [self.devices.apply(message).effect for message in messages]

    def rows(self) -> list[Any]:
        return list(self.history.points("robot-7", at(-1_000_000), at(1_000_000)))

    def get(
        self, device: str = "robot-7", roles: str = "Fleet.Reader", **query: str
    ) -> tuple[int, dict[str, Any]]:
        def operation(request: Any) -> Any:
            return get_device_history(request, devices=self.devices, history=self.history, clock=self.clock)

        event = an_event(ROUTE, path={"device": device}, roles=roles) | {
            "queryStringParameters": query or None
        }
        answer = served(operation, route=ROUTE)(event, None)
        return answer["statusCode"], body_of(answer)


def a_harness(dynamodb: Any) -> HistoryHarness:
    devices, history, calls = devices_and_history(dynamodb)
    devices.create("robot-7", "line-3", now=NOW)
    return HistoryHarness(devices, history, calls, Clock(NOW))


@pytest.fixture
def harness(dynamodb: Any) -> HistoryHarness:
    return a_harness(dynamodb)


def test_a_point_says_how_the_machine_and_its_applications_are(harness: HistoryHarness) -> None:
    host = HostHealth(
        architecture="arm64", uptime_s=7.5, cpu_percent=12.5, memory_total_bytes=4000,
        memory_available_bytes=1000, disk_total_bytes=9000, disk_free_bytes=5000, temperature_c=61.5,
    )  # fmt: skip
    statuses = [a_status("a"), a_status("b"), a_status("c", "FAILED")]
    harness.told(news(a_report(1, *statuses, host=host, at=at(0)), 61.25))
    harness.clock.now = at(100)

    status, body = harness.get()

    assert status == 200
    assert body == {
        "device": "robot-7",
        "from": "2026-11-21T12:01:40Z",
        "to": "2026-11-22T12:01:40Z",
        "interval_s": 300.0,
        "points": [
            {
                "at": "2026-11-22T12:00:00Z",
                "uptime_s": 7.5,
                "cpu_percent": 12.5,
                "memory_total_bytes": 4000,
                "memory_available_bytes": 1000,
                "disk_total_bytes": 9000,
                "disk_free_bytes": 5000,
                "temperature_c": 61.5,
                "clock_skew_s": -61.25,
                "engine": "20.10.24",
                "applications": {"RUNNING": 2, "FAILED": 1},
                "state_changes": None,
            }
        ],
    }


def test_a_span_has_one_point_at_one_call_more_and_the_rest_of_it_none(harness: HistoryHarness) -> None:
    costs = []
    for sequence, received in enumerate([0, 60, 120, 299, 300, 360, 600]):
        harness.calls.clear()
        harness.told(news(a_report(sequence, a_status()), received))
        costs.append(list(harness.calls))

    first = ["UpdateItem", "TransactWriteItems"]
    assert costs == [first, ["UpdateItem"], ["UpdateItem"], ["UpdateItem"], first, ["UpdateItem"], first]
    assert [(row["at"], row["uptime_s"]) for row in harness.rows()] == [
        (to_ms(at(0)), 0),
        (to_ms(at(300)), 4),
        (to_ms(at(600)), 6),
    ]


def test_a_changed_report_in_a_new_span_is_two_calls_too(harness: HistoryHarness) -> None:
    harness.told(news(a_report(1, a_status()), 0))
    harness.calls.clear()

    harness.told(news(a_report(2, a_status(state="FAILED")), 300))

    assert harness.calls == ["UpdateItem", "TransactWriteItems"]


def test_state_changes_are_those_since_the_point_before(harness: HistoryHarness) -> None:
    states = ["RUNNING", "FAILED", "RUNNING", "RUNNING", "STOPPED"]
    for sequence, state in enumerate(states):
        harness.told(news(a_report(sequence, a_status(state=state)), sequence * 150))
    harness.clock.now = at(700)

    _, body = harness.get()

    assert [point["state_changes"] for point in body["points"]] == [None, 2, 1]


def test_a_hello_makes_no_point(harness: HistoryHarness) -> None:
    harness.told(news(a_connection_event(1), 0), news(a_connection_event(2, "goodbye"), 400))

    assert harness.rows() == []


def test_a_late_report_makes_no_point_and_overwrites_none(harness: HistoryHarness) -> None:
    harness.told(news(a_report(5, a_status()), 310))
    before = harness.rows()

    assert harness.told(news(a_report(4, a_status()), 10), news(a_report(3), 305)) == [Effect.OLD] * 2

    assert harness.rows() == before


PER_EXAMPLE = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@PER_EXAMPLE
@given(st.data())
def test_reports_in_any_order_and_more_than_once_make_at_most_one_point_a_span(
    dynamodb: Any, data: st.DataObject
) -> None:
    harness = a_harness(dynamodb)
    in_order = [news(a_report(sequence, a_status()), sequence * 100) for sequence in range(8)]
    repeats = data.draw(st.lists(st.sampled_from(in_order), max_size=4))
    points: dict[int, Any] = {}
    for message in data.draw(st.permutations(in_order + repeats)):
        harness.told(message)
        now = {row["at"]: row for row in harness.rows()}
        assert points.items() <= now.items()  # what was written stays as it was
        points = now
    for start, row in points.items():
        of_the_span = {
            m.message.sequence for m in in_order if to_ms(m.received_at) // 300_000 * 300_000 == start
        }
        assert row["uptime_s"] in of_the_span


def test_a_point_and_its_row_are_written_together_or_not_at_all(dynamodb: Any) -> None:
    harness = a_harness(dynamodb)
    torn = Devices(dynamodb, harness.devices._name, "no-such-table")
    body = news(a_report(1, a_status()), 0)
    with pytest.raises(Exception, match="TransactWriteItems"):
        torn.apply(body)

    assert harness.devices.get("robot-7") is not None
    assert harness.devices.get("robot-7").last_report_at is None  # type: ignore[union-attr]
    assert harness.told(body) == [Effect.CHANGED]  # the record comes again
    assert len(harness.rows()) == 1


def test_points_forget_themselves_after_the_day(harness: HistoryHarness) -> None:
    harness.told(news(a_report(1), 0))

    (row,) = harness.rows()

    assert from_ms(row["delete_at"] * 1000) == at(HISTORY_S + HISTORY_POINT_S)


def test_a_part_of_the_day_is_asked_for_by_aware_times(harness: HistoryHarness) -> None:
    for sequence in range(4):
        harness.told(news(a_report(sequence), sequence * 300))
    harness.clock.now = at(1000)

    def spans(**query: str) -> list[str]:
        status, body = harness.get(**query)
        assert status == 200
        return [point["at"][11:16] for point in body["points"]]

    assert spans() == ["12:00", "12:05", "12:10", "12:15"]
    assert spans(**{"from": "2026-11-22T12:05:00Z", "to": "2026-11-22T13:10:00+01:00"}) == ["12:05", "12:10"]
    assert spans(**{"from": "2026-11-22T12:05:01Z"}) == ["12:10", "12:15"]
    assert spans(to="2026-11-21T00:00:00Z") == []


def test_no_more_than_a_day_is_answered_though_more_may_lie_there(
    harness: HistoryHarness, dynamodb: Any
) -> None:
    for span in range(300):
        point = point_of(a_device(history_at=at(span * HISTORY_POINT_S)))
        dynamodb.put_item(TableName=harness.history._name, Item=to_item(point))
    harness.clock.now = at(299 * HISTORY_POINT_S)

    _, body = harness.get(**{"from": "2020-01-01T00:00:00Z", "to": "2030-01-01T00:00:00Z"})

    assert len(body["points"]) == HISTORY_S / HISTORY_POINT_S + 1
    assert body["from"] == body["points"][0]["at"] == "2026-11-22T12:55:00Z"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-22T12:00:00"}, "from"),  # whose noon?
        ({"to": "2026-11-22"}, "to"),
        ({"to": "0001-01-01T00:00:00+14:00"}, "to"),
        ({"to": ""}, "to"),
        ({"from": "2026-11-22T12:00:00Z", "to": "2026-11-22T11:59:59Z"}, "from"),
        ({"since": "2026-11-22T12:00:00Z"}, "since"),
    ],
)
def test_a_wrong_parameter_is_400_and_named(
    harness: HistoryHarness, query: dict[str, str], field: str
) -> None:
    status, body = harness.get(**query)

    assert status == 400
    assert body["field"] == field


def test_who_may_not_see_the_device_may_not_see_its_history(harness: HistoryHarness) -> None:
    assert harness.get(roles="Fleet.Reader:line-4")[0] == 403
    assert harness.get(roles="Fleet.Reader:line-3") == (200, harness.get()[1])


def test_a_device_that_was_never_enrolled_is_404(harness: HistoryHarness) -> None:
    status, body = harness.get("ghost")

    assert (status, body["code"]) == (404, "device-not-found")
