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
class World:
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


def a_world(dynamodb: Any) -> World:
    devices, history, calls = devices_and_history(dynamodb)
    devices.create("robot-7", "line-3", now=NOW)
    return World(devices, history, calls, Clock(NOW))


@pytest.fixture
def world(dynamodb: Any) -> World:
    return a_world(dynamodb)


def test_a_point_says_how_the_machine_and_its_applications_are(world: World) -> None:
    host = HostHealth(
        architecture="arm64", uptime_s=7.5, cpu_percent=12.5, memory_total_bytes=4000,
        memory_available_bytes=1000, disk_total_bytes=9000, disk_free_bytes=5000, temperature_c=61.5,
    )  # fmt: skip
    statuses = [a_status("a"), a_status("b"), a_status("c", "FAILED")]
    world.told(news(a_report(1, *statuses, host=host, at=at(0)), 61.25))
    world.clock.now = at(100)

    status, body = world.get()

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


def test_a_span_has_one_point_at_one_call_more_and_the_rest_of_it_none(world: World) -> None:
    costs = []
    for sequence, received in enumerate([0, 60, 120, 299, 300, 360, 600]):
        world.calls.clear()
        world.told(news(a_report(sequence, a_status()), received))
        costs.append(list(world.calls))

    first = ["UpdateItem", "TransactWriteItems"]
    assert costs == [first, ["UpdateItem"], ["UpdateItem"], ["UpdateItem"], first, ["UpdateItem"], first]
    assert [(row["at"], row["uptime_s"]) for row in world.rows()] == [
        (to_ms(at(0)), 0),
        (to_ms(at(300)), 4),
        (to_ms(at(600)), 6),
    ]


def test_a_changed_report_in_a_new_span_is_two_calls_too(world: World) -> None:
    world.told(news(a_report(1, a_status()), 0))
    world.calls.clear()

    world.told(news(a_report(2, a_status(state="FAILED")), 300))

    assert world.calls == ["UpdateItem", "TransactWriteItems"]


def test_state_changes_are_those_since_the_point_before(world: World) -> None:
    states = ["RUNNING", "FAILED", "RUNNING", "RUNNING", "STOPPED"]
    for sequence, state in enumerate(states):
        world.told(news(a_report(sequence, a_status(state=state)), sequence * 150))
    world.clock.now = at(700)

    _, body = world.get()

    assert [point["state_changes"] for point in body["points"]] == [None, 2, 1]


def test_a_hello_makes_no_point(world: World) -> None:
    world.told(news(a_connection_event(1), 0), news(a_connection_event(2, "goodbye"), 400))

    assert world.rows() == []


def test_a_late_report_makes_no_point_and_overwrites_none(world: World) -> None:
    world.told(news(a_report(5, a_status()), 310))
    before = world.rows()

    assert world.told(news(a_report(4, a_status()), 10), news(a_report(3), 305)) == [Effect.OLD] * 2

    assert world.rows() == before


PER_EXAMPLE = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@PER_EXAMPLE
@given(st.data())
def test_reports_in_any_order_and_more_than_once_make_at_most_one_point_a_span(
    dynamodb: Any, data: st.DataObject
) -> None:
    world = a_world(dynamodb)
    in_order = [news(a_report(sequence, a_status()), sequence * 100) for sequence in range(8)]
    repeats = data.draw(st.lists(st.sampled_from(in_order), max_size=4))
    points: dict[int, Any] = {}
    for message in data.draw(st.permutations(in_order + repeats)):
        world.told(message)
        now = {row["at"]: row for row in world.rows()}
        assert points.items() <= now.items()  # what was written stays as it was
        points = now
    for start, row in points.items():
        of_the_span = {
            m.message.sequence for m in in_order if to_ms(m.received_at) // 300_000 * 300_000 == start
        }
        assert row["uptime_s"] in of_the_span


def test_a_point_and_its_row_are_written_together_or_not_at_all(dynamodb: Any) -> None:
    world = a_world(dynamodb)
    torn = Devices(dynamodb, world.devices._name, "no-such-table")
    body = news(a_report(1, a_status()), 0)
    with pytest.raises(Exception, match="TransactWriteItems"):
        torn.apply(body)

    assert world.devices.get("robot-7") is not None
    assert world.devices.get("robot-7").last_report_at is None  # type: ignore[union-attr]
    assert world.told(body) == [Effect.CHANGED]  # the record comes again
    assert len(world.rows()) == 1


def test_points_forget_themselves_after_the_day(world: World) -> None:
    world.told(news(a_report(1), 0))

    (row,) = world.rows()

    assert from_ms(row["delete_at"] * 1000) == at(HISTORY_S + HISTORY_POINT_S)


def test_a_part_of_the_day_is_asked_for_by_aware_times(world: World) -> None:
    for sequence in range(4):
        world.told(news(a_report(sequence), sequence * 300))
    world.clock.now = at(1000)

    def spans(**query: str) -> list[str]:
        status, body = world.get(**query)
        assert status == 200
        return [point["at"][11:16] for point in body["points"]]

    assert spans() == ["12:00", "12:05", "12:10", "12:15"]
    assert spans(**{"from": "2026-11-22T12:05:00Z", "to": "2026-11-22T13:10:00+01:00"}) == ["12:05", "12:10"]
    assert spans(**{"from": "2026-11-22T12:05:01Z"}) == ["12:10", "12:15"]
    assert spans(to="2026-11-21T00:00:00Z") == []


def test_no_more_than_a_day_is_answered_though_more_may_lie_there(world: World, dynamodb: Any) -> None:
    for span in range(300):
        point = point_of(a_device(history_at=at(span * HISTORY_POINT_S)))
        dynamodb.put_item(TableName=world.history._name, Item=to_item(point))
    world.clock.now = at(299 * HISTORY_POINT_S)

    _, body = world.get(**{"from": "2020-01-01T00:00:00Z", "to": "2030-01-01T00:00:00Z"})

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
def test_a_wrong_parameter_is_400_and_named(world: World, query: dict[str, str], field: str) -> None:
    status, body = world.get(**query)

    assert status == 400
    assert body["field"] == field


def test_who_may_not_see_the_device_may_not_see_its_history(world: World) -> None:
    assert world.get(roles="Fleet.Reader:line-4")[0] == 403
    assert world.get(roles="Fleet.Reader:line-3") == (200, world.get()[1])


def test_a_device_that_was_never_enrolled_is_404(world: World) -> None:
    status, body = world.get("ghost")

    assert (status, body["code"]) == (404, "device-not-found")
