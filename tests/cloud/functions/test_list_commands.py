"""A device's commands, the newest first, page by page."""

import pytest

from contract.commands import CommandState
from tests.support.cloud.api import FakeDevices, a_device, body_of
from tests.support.cloud.commanding import REBOOT, Api

RESTART = "POST /devices/{device}/applications/{app}/restart"


def make(api: Api, *keys: str) -> list[str]:
    """Order by each key, a second apart; return the commands, the newest first."""
    made: list[str] = []
    for key in keys:
        made.insert(0, body_of(api.order(key))["id"])
        api.clock.advance(1)
    return made


def walk(api: Api, **query: str) -> tuple[list[str], list[int]]:
    """Follow the cursors to the end; return the ids and the size of each page."""
    ids: list[str] = []
    sizes: list[int] = []
    while True:
        body = body_of(api.page(**query))
        ids += [command["id"] for command in body["commands"]]
        sizes.append(len(body["commands"]))
        if body["cursor"] is None:
            return ids, sizes
        query["cursor"] = body["cursor"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 100])
def test_pages_follow_each_other_from_the_newest_to_the_oldest(api: Api, limit: int) -> None:
    made = make(api, REBOOT, RESTART, REBOOT, RESTART, REBOOT)
    ids, sizes = walk(api, limit=str(limit))
    assert ids == made
    assert max(sizes) <= limit


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_one_kind_or_one_state_is_listed_alone_whatever_lies_between(api: Api, limit: int) -> None:
    made = make(api, RESTART, *[REBOOT] * 7, RESTART)

    assert walk(api, limit=str(limit), kind="restart-application")[0] == [made[0], made[-1]]
    assert walk(api, limit=str(limit), state="SUPERSEDED")[0] == made[2:-1]
    assert walk(api, limit=str(limit), kind="reboot", state="PENDING")[0] == [made[1]]


def test_a_page_that_is_full_before_all_was_looked_at_says_that_there_is_more(api: Api) -> None:
    made = make(api, RESTART, RESTART, REBOOT, RESTART, RESTART)

    ids, sizes = walk(api, limit="3", kind="restart-application")

    assert ids == [made[0], made[1], made[3], made[4]]
    assert sizes == [3, 1]


def test_a_state_is_the_one_that_is_shown(api: Api) -> None:
    silent, answered = make(api, RESTART, RESTART)[::-1]
    api.says(answered, CommandState.REJECTED, code="locked")
    api.clock.advance(3600)

    (expired,) = body_of(api.page(state="EXPIRED"))["commands"]
    (rejected,) = body_of(api.page(state="REJECTED"))["commands"]
    assert (expired["id"], expired["inferred"], expired["code"]) == (silent, True, "no-answer")
    assert (rejected["id"], rejected["inferred"], rejected["code"]) == (answered, False, "locked")
    assert body_of(api.page(state="PENDING"))["commands"] == []


def test_a_line_says_what_and_who_and_why_and_holds_no_logs(api: Api) -> None:
    command = body_of(api.order("POST /devices/{device}/applications/{app}/logs", {"reason": "odd"}))["id"]
    api.says(command, CommandState.SUCCEEDED, log_lines=["a line"])

    (line,) = body_of(api.page())["commands"]

    wanted = {"id": command, "kind": "collect-logs", "application": "web", "state": "SUCCEEDED",
              "requested_by": "ada", "reason": "odd", "part_of": None, "when_online": False}  # fmt: skip
    assert wanted.items() <= line.items()
    assert not line.keys() & {"log_lines", "transitions", "bundle"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"cursor": "!"}, "cursor"),
        ({"cursor": "cm9ib3QtNw=="}, "cursor"),
        ({"kind": "explode"}, "kind"),
        ({"state": "pending"}, "state"),
        ({"stat": "PENDING"}, "stat"),
    ],
)
def test_a_wrong_parameter_is_400_and_named(api: Api, query: dict[str, str], field: str) -> None:
    answer = api.page(**query)
    assert (answer["statusCode"], body_of(answer)["field"]) == (400, field)


def test_readers_of_the_group_see_them_and_nobody_else(api: Api) -> None:
    make(api, REBOOT)
    api.devices = FakeDevices([a_device(), a_device("robot-9", "line-4")])

    assert body_of(api.page(roles="Fleet.Reader:line-3"))["commands"]
    assert body_of(api.page("robot-9"))["commands"] == []  # another device's are not its own
    assert body_of(api.page(roles="Fleet.Admin:line-4"))["code"] == "group-not-allowed"
    assert body_of(api.page("robot-8"))["code"] == "device-not-found"
