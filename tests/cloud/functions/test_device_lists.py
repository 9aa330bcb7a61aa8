"""GET /devices with filters: what is listed, in which order, by which calls."""

import base64
import itertools
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.domain.devices import device_index
from cloud.domain.devices.device import Device
from cloud.domain.devices.presence import Presence, state
from cloud.functions.devices.list_devices import list_devices
from cloud.tables.device_lists import DeviceLists
from cloud.tables.devices import Devices, Effect
from tests.support.cloud.answers import served
from tests.support.cloud.api import NOW, Clock, Watched, an_event, body_of
from tests.support.cloud.deployments import deployments_in_memory
from tests.support.cloud.devices import (
    Calls,
    a_connection_event,
    a_presence,
    a_report,
    a_status,
    at,
    news,
)
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, table_of

LIST = "GET /devices"
A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def image(digest: str) -> str:
    return f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/fleetgrass/hello@{digest}"


class Fleet:
    """A table of its own, spoken to as devices, the broker and operators do."""

    def __init__(self) -> None:
        self.memory, self.calls = MemoryDynamoDB(), Calls()
        self.dynamodb = Watched(self.memory, before=self.calls.append)
        names = []
        for resource in ("DevicesTable", "HistoryTable"):
            described = table_of(resource)
            self.dynamodb.create_table(**described)
            names.append(described["TableName"])
        self.table = Devices(self.dynamodb, *names)
        self.calls.clear()
        self.clock = Clock()
        self._sequences = itertools.count(1)

    def enrol(self, *names: str, group: str = "line-3") -> None:
        for name in names:
            assert self.table.create(name, group, now=NOW)

    def present(self, name: str, connected: bool, seconds: float, **more: Any) -> None:
        event: Presence = a_presence(connected, next(self._sequences), event=seconds, **more)
        assert self.table.record_presence(replace(event, device=name))

    def report(self, name: str, seconds: float, *statuses: Any, **more: Any) -> Effect:
        message = a_report(next(self._sequences), *statuses, at=at(seconds), **more)
        return self.table.apply(news(message, seconds, name)).effect

    def page(self, roles: str = "Fleet.Reader", **query: str) -> dict[str, Any]:
        lists = DeviceLists(self.dynamodb, self.table._name)
        entry = served(
            lambda r: list_devices(r, devices=lists, deployments=deployments_in_memory(), clock=self.clock),
            route=LIST,
        )
        return entry(an_event(LIST, roles=roles) | {"queryStringParameters": query or None}, None)

    def names(self, roles: str = "Fleet.Reader", **query: str) -> list[str]:
        """Every name, page after page."""
        names: list[str] = []
        while True:
            answer = self.page(roles, **query)
            assert answer["statusCode"] == 200, answer
            body = body_of(answer)
            names += [device["name"] for device in body["devices"]]
            if body["cursor"] is None:
                return names
            query["cursor"] = body["cursor"]

    def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.memory.rows(self.table._name)]

    def filings(self) -> set[tuple[str, str]]:
        return {(row["filed_under"]["S"], row["filed"]["S"]) for row in self.rows() if "filed_under" in row}


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def a_mixed_fleet(fleet: Fleet) -> None:
    """One device for each way to be in a state, as of NOW."""
    fleet.enrol("Online", "silent", "offline", "flapping", "never", "eventless", group="line-3")
    fleet.enrol("other", group="line-4")
    for name in ("Online", "silent", "offline", "flapping", "other"):
        fleet.present(name, True, -1000 - len(name))
    for name in ("Online", "offline", "flapping", "eventless", "other"):
        fleet.report(name, -20, a_status("web", image=image(A)))
    fleet.report("silent", -500, a_status("web", image=image(B)), a_status("db"), agent_version="2.0.0")
    fleet.present("offline", False, -100)
    fleet.present("flapping", False, -5)


@pytest.mark.parametrize("sort", ["name", "state-since"])
@pytest.mark.parametrize("limit", ["1", "2", "50"])
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, {"Online", "silent", "offline", "flapping", "never", "eventless", "other"}),
        ({"state": "online"}, {"Online", "flapping", "eventless", "other"}),
        ({"state": "stale"}, {"silent"}),
        ({"state": "offline"}, {"offline"}),
        ({"state": "unknown"}, {"never"}),
        ({"application": "db"}, {"silent"}),
        ({"application": "we"}, set()),
        ({"image": A}, {"Online", "offline", "flapping", "eventless", "other"}),
        ({"image": B}, {"silent"}),
        ({"agent_version": "2.0.0"}, {"silent"}),
        ({"agent_version": "1.0.0"}, {"Online", "offline", "flapping", "eventless", "other"}),
        ({"prefix": "o"}, {"Online", "offline", "other"}),
        ({"prefix": "ON"}, {"Online"}),
        ({"group": "line-4"}, {"other"}),
        ({"prefix": "o", "state": "online"}, {"Online", "other"}),
        ({"group": "line-3", "state": "online", "prefix": "o"}, {"Online"}),
        ({"application": "web", "image": B, "state": "stale"}, {"silent"}),
        ({"image": A, "state": "offline", "agent_version": "1.0.0"}, {"offline"}),
        ({"image": A, "application": "db"}, set()),
    ],
)
def test_filters_leave_what_they_say_in_whatever_pages_and_order(
    mixed: Fleet, query: dict[str, str], names: set[str], limit: str, sort: str
) -> None:
    listed = mixed.names(**query, limit=limit, sort=sort)

    assert set(listed) == names
    assert len(listed) == len(names)
    assert "Scan" not in mixed.calls


@pytest.fixture(scope="module")
def mixed() -> Fleet:
    fleet = Fleet()
    a_mixed_fleet(fleet)
    fleet.calls.clear()
    return fleet


def test_the_orders_are_by_name_and_by_the_time_since_when_the_connection_stands(mixed: Fleet) -> None:
    assert mixed.names(state="online") == ["Online", "eventless", "flapping", "other"]
    assert mixed.names(prefix="o") == ["offline", "Online", "other"]
    assert mixed.names(sort="state-since", limit="2") == [
        "Online", "silent", "other", "offline", "eventless", "flapping", "never",
    ]  # fmt: skip


def test_what_is_not_in_an_index_yet_is_in_the_list_of_all(fleet: Fleet) -> None:
    old = {"device": "old", "kind": "device", "group": "line-3", "enrolled_at": 1, "writes": 0}
    fleet.dynamodb.put_item(
        TableName=fleet.table._name,
        Item={k: {"S": v} if isinstance(v, str) else {"N": str(v)} for k, v in old.items()},
    )
    fleet.enrol("new")

    assert fleet.names() == ["new", "old"]
    fleet.present("old", True, 0)
    assert fleet.names(state="stale") == ["old"]


def test_a_row_decides_and_no_entry_that_is_late(fleet: Fleet) -> None:
    fleet.enrol("a")
    fleet.report("a", -1, a_status("web", image=image(A)))
    late = device_index.index_row(device_index.application_key("ghost"), "a")
    gone = device_index.index_row(device_index.application_key("web"), "never-enrolled")
    for row in (late, gone):
        item = {name: {"S": value} for name, value in row.items()}
        fleet.dynamodb.put_item(TableName=fleet.table._name, Item=item)

    assert fleet.names(application="ghost") == []
    assert fleet.names(application="web") == ["a"]


def test_a_device_is_filed_in_the_write_of_the_report_that_tells_something_else(fleet: Fleet) -> None:
    fleet.enrol("a")

    def told(sequence: int, *statuses: Any) -> list[str]:
        fleet.calls.clear()
        fleet.report("a", sequence, *statuses)
        return list(fleet.calls)

    web, db = a_status("web", image=image(A)), a_status("db")
    assert told(1, web, db) == ["UpdateItem", "TransactWriteItems"]
    assert fleet.filings() == {("application#web", "a"), ("application#db", "a"), (f"image#{A}", "a")}
    assert told(2, web, db) == ["UpdateItem"]
    assert told(3, replace_state(web), db) == ["UpdateItem", "UpdateItem"]
    assert told(4, a_status("web", image=image(B))) == ["UpdateItem", "TransactWriteItems"]
    assert fleet.filings() == {("application#web", "a"), (f"image#{B}", "a")}
    assert told(5) == ["UpdateItem", "TransactWriteItems"]
    assert fleet.filings() == set()


def replace_state(status: Any) -> Any:
    return a_status(status.name, "FAILED", image=status.image)


def test_a_filing_and_its_row_are_written_together_or_not_at_all(fleet: Fleet) -> None:
    fleet.enrol("a")
    fleet.report("a", 1, a_status("web"))
    torn = Devices(fleet.dynamodb, fleet.table._name, "no-such-table")
    with pytest.raises(Exception, match="TransactWriteItems"):
        torn.apply(news(a_report(99, a_status("db"), at=at(400)), 400, "a"))

    assert fleet.names(application="web") == ["a"]
    assert fleet.filings() == {("application#web", "a")}


def test_more_than_a_transaction_takes_is_filed_all_the_same(fleet: Fleet) -> None:
    fleet.enrol("a")
    for half in ("a", "b"):
        statuses = [a_status(f"{half}{i}", image=image(f"sha256:{half}{i:063x}")) for i in range(60)]
        fleet.report("a", 1 if half == "a" else 2, *statuses)
        expected = {(device_index.application_key(s.name), "a") for s in statuses}
        expected |= {(device_index.image_key(str(s.image).partition("@")[2]), "a") for s in statuses}
        assert fleet.filings() == expected


def index_keys(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ("standing", "standing_since", "agent_version", "folded_name")}


def test_a_heartbeat_moves_no_key_of_an_index(fleet: Fleet) -> None:
    fleet.enrol("a")
    fleet.present("a", True, 0)
    fleet.report("a", 1, a_status("web"))
    (before,) = [row for row in fleet.rows() if row["device"]["S"] == "a"]
    fleet.calls.clear()
    for seconds in range(60, 300, 60):
        fleet.report("a", seconds, a_status("web", cpu_percent=float(seconds)))

    (after,) = [row for row in fleet.rows() if row["device"]["S"] == "a"]
    assert list(fleet.calls) == ["UpdateItem"] * 4
    assert index_keys(after) == index_keys(before)
    assert None not in index_keys(after).values()


@settings(max_examples=60)
@given(st.data())
def test_whatever_happens_a_device_is_listed_under_its_state_and_no_other(
    data: st.DataObject,
) -> None:
    fleet = Fleet()
    fleet.enrol("robot-7")
    times = st.sampled_from([0, 1, 60, 119, 121, 300, 1801, 4000])
    for sequence in range(data.draw(st.integers(0, 8))):
        seconds = data.draw(times)
        match data.draw(st.sampled_from(["presence", "hello", "goodbye", "report"])):
            case "presence":
                event = a_presence(data.draw(st.booleans()), data.draw(st.integers(0, 3)), event=seconds)
                fleet.table.record_presence(event)
            case "report":
                fleet.table.apply(news(a_report(sequence, a_status("web")), seconds))
            case said:
                fleet.table.apply(news(a_connection_event(sequence, said), seconds))
    fleet.clock.now = at(data.draw(st.sampled_from([4000, 4010, 4100, 9000])))
    device = fleet.table.get("robot-7")
    assert device is not None
    expected = state(device, fleet.clock.now).state
    (row,) = [row for row in fleet.rows() if row["device"]["S"] == "robot-7"]
    assert row["standing"]["S"] == device_index.partition(
        device_index.connection_status(device)[0], "robot-7"
    )
    for sort in ("name", "state-since"):
        for wanted in ("online", "stale", "offline", "unknown"):
            listed = fleet.names(state=wanted, sort=sort)
            assert listed == (["robot-7"] if wanted == expected else []), (wanted, sort)


def test_an_event_between_reading_and_writing_is_not_written_over(fleet: Fleet) -> None:
    """The first report decides that a device is connected; a presence event in between knows better."""
    fleet.enrol("a")

    class Between:
        """DynamoDB, where something happens before the first transaction."""

        def __getattr__(self, operation: str) -> Any:
            return getattr(fleet.dynamodb, operation)

        def transact_write_items(self, **request: Any) -> Any:
            if not happened:
                happened.append(True)
                fleet.present("a", False, 5)
            return fleet.dynamodb.transact_write_items(**request)

    happened: list[bool] = []
    torn = Devices(Between(), fleet.table._name, fleet.table._history)
    assert torn.apply(news(a_report(1, a_status("web")), 1, "a")).effect is Effect.CHANGED

    device = fleet.table.get("a")
    assert device is not None
    assert (device.connected, device.sequence) == (False, 1)
    fleet.clock.now = at(100)
    assert fleet.names(state="offline") == ["a"]


@pytest.mark.parametrize("sort", ["name", "state-since"])
def test_many_of_the_very_same_time_are_listed_once_each(fleet: Fleet, sort: str) -> None:
    names = [f"robot-{i:03d}" for i in range(130)]
    fleet.enrol(*names)

    listed = fleet.names(sort=sort, limit="7")

    assert sorted(listed) == names


QUERIES: list[tuple[dict[str, str], int]] = [
    ({}, 1),
    ({"group": "line-3"}, 1),
    ({"prefix": "robot"}, 1),
    ({"application": "web"}, 1),
    ({"image": A}, 1),
    ({"agent_version": "1.0.0"}, 1),
    ({"state": "unknown"}, device_index.SHARDS),
    ({"state": "online"}, 2 * device_index.SHARDS),
    ({"sort": "state-since"}, 3 * device_index.SHARDS),
    ({"sort": "state-since", "state": "offline", "prefix": "r", "application": "web"}, device_index.SHARDS),
]


@pytest.mark.parametrize(("query", "queries"), QUERIES)
def test_a_page_is_as_many_queries_as_its_index_has_parts_and_one_read(
    counted: list[Fleet], query: dict[str, str], queries: int
) -> None:
    for fleet in counted:
        fleet.calls.clear()
        fleet.page(**query, limit="3")
        assert fleet.calls.count("Query") == queries
        assert fleet.calls.count("BatchGetItem") <= 1
        assert set(fleet.calls) <= {"Query", "BatchGetItem"}


@pytest.fixture(scope="module")
def counted() -> list[Fleet]:
    """A fleet of 5 and one of 150."""
    fleets = []
    for size in (5, 150):
        fleet = Fleet()
        fleet.enrol(*(f"robot-{i}" for i in range(size)))
        for i in range(0, size, 50):
            fleet.report(f"robot-{i}", 1, a_status("web", image=image(A)))
        fleets.append(fleet)
    return fleets


def test_a_page_reads_at_most_100_rows_and_its_cursor_goes_on_when_none_fits(counted: list[Fleet]) -> None:
    body = body_of(counted[1].page(group="line-3", agent_version="9.9.9"))
    assert body["devices"] == []
    assert body["cursor"] is not None

    last = body_of(counted[1].page(group="line-3", agent_version="9.9.9", cursor=body["cursor"]))
    assert last == {"devices": [], "cursor": None}


def test_a_scoped_reader_sees_its_groups_only_whatever_it_filters_by(mixed: Fleet) -> None:
    roles = "Fleet.Reader:line-4"
    for query in ({}, {"image": A}, {"state": "online"}, {"prefix": "o"}, {"sort": "state-since"}):
        assert mixed.names(roles, **query) == ["other"]
    assert mixed.names(roles, state="offline") == []
    assert mixed.page(roles, group="line-3", state="offline")["statusCode"] == 403


@pytest.mark.parametrize("sort", ["name", "state-since"])
def test_a_group_that_has_devices_but_none_that_fits_is_no_404(mixed: Fleet, sort: str) -> None:
    assert mixed.names(group="line-4", state="offline", sort=sort) == []
    assert mixed.page(group="line-9", sort=sort)["statusCode"] == 404


def cursor(*positions: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(positions).encode()).decode()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "ONLINE"}, "state"),
        ({"state": ""}, "state"),
        ({"sort": "since"}, "sort"),
        ({"image": "hello:1"}, "image"),
        ({"image": "sha256:" + "A" * 64}, "image"),
        ({"application": "Web"}, "application"),
        ({"agent_version": ""}, "agent_version"),
        ({"prefix": ""}, "prefix"),
        ({"prefix": "a#"}, "prefix"),
        ({"name": "a"}, "name"),
        ({"cursor": cursor("a", "b")}, "cursor"),  # another list's
        ({"cursor": cursor([1, "a"])}, "cursor"),
        ({"cursor": cursor()}, "cursor"),
        ({"cursor": cursor(7)}, "cursor"),
        ({"cursor": cursor("in#x")}, "cursor"),
        ({"cursor": cursor("a"), "prefix": "b"}, "cursor"),
        ({"cursor": cursor(*["a"] * 12), "sort": "state-since"}, "cursor"),
        ({"cursor": cursor(*[[-1, "a"]] * 12), "sort": "state-since"}, "cursor"),
    ],
)
def test_a_wrong_parameter_is_400_and_named(mixed: Fleet, query: dict[str, str], field: str) -> None:
    answer = mixed.page(**query)

    assert answer["statusCode"] == 400
    assert body_of(answer)["field"] == field


def test_a_page_of_who_is_online_goes_on_when_a_debounce_has_passed(fleet: Fleet) -> None:
    names = [f"robot-{i}" for i in range(9)]
    fleet.enrol(*names)
    for i, name in enumerate(names):
        fleet.report(name, 0)
        fleet.present(name, True, 1)
        fleet.present(name, False, 2 + i)
    fleet.clock.now = at(20)
    first = body_of(fleet.page(state="online", sort="state-since", limit="4"))
    assert [device["name"] for device in first["devices"]] == names[:4]

    fleet.clock.now = at(20) + timedelta(seconds=17)  # robots 0 to 5 are offline now

    assert fleet.names(state="online", sort="state-since", cursor=first["cursor"]) == names[6:]


def test_what_is_filed_is_no_device(fleet: Fleet) -> None:
    fleet.enrol("a")
    fleet.report("a", 1, a_status("web", image=image(A)))

    assert fleet.names() == fleet.names(group="line-3") == ["a"]
    assert isinstance(fleet.table.get("a"), Device)
