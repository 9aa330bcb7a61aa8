"""What a nucleus does to the agent, the same end on both: a restart, a broker that is away, small packets."""

from datetime import UTC, datetime, timedelta

import pytest

from contract.commands import ReportNowCommand
from contract.names import COMPONENT
from local.greengrass.nucleus.dialect import DIALECTS
from tests.support.platform.lab import until
from tests.support.platform.machines import Machine, new_id

pytestmark = pytest.mark.platform

_AWAY_S = 8


def test_device_and_group_are_known_to_be_of_the_nucleus_that_the_device_has(robot: Machine) -> None:
    kind = DIALECTS[robot.dialect].kind

    assert until(lambda: robot.shown()["nucleus"] == kind), robot.shown()
    groups = {group["name"]: group["nucleus"] for group in robot.operator.get("/groups")[1]["groups"]}
    assert groups[robot.group] == kind


def test_after_a_restart_of_the_nucleus_the_agent_comes_back_with_a_new_token(robot: Machine) -> None:
    assert robot.agent_pid() != robot.restarted_agent  # the fixture restarted the nucleus under that one
    assert robot.logged("greengrass", f"component={COMPONENT} state=BROKEN") == 0
    with robot.overheard() as heard:
        command = report_now()
        robot.deliver(command)

        assert until(lambda: bool(heard.results(command.id)))
    assert (robot.logged(COMPONENT, "this nucleus does not have it") > 0) == (robot.dialect != "classic")


def test_what_was_done_while_the_broker_was_away_arrives_in_order_even_if_the_agent_was_killed(
    robot: Machine,
) -> None:
    commands = [report_now() for _ in range(5)]
    ids = [command.id for command in commands]
    handed_on = robot.handed_on("report-now")
    away = robot.logged("greengrass", "mqtt disconnected for a while")
    with robot.overheard() as heard:

        def done() -> list[str]:
            return [result["id"] for result in heard.results(*ids) if result["state"] == "SUCCEEDED"]

        with robot.frozen():
            for command in commands:
                robot.deliver(command)
            assert until(lambda: robot.handed_on("report-now") == handed_on + len(commands))
            robot.device.power(f"disconnect {_AWAY_S}")
            assert until(lambda: robot.logged("greengrass", "mqtt disconnected for a while") > away)
        # By id: one that an earlier test gave may end only now.
        assert until(lambda: all(robot.logged(COMPONENT, f"command finished: id={each} ") for each in ids))
        killed = robot.agent_pid()
        robot.device.power(f"crash {COMPONENT}")
        assert until(lambda: robot.agent_pid() not in (None, killed))
        assert done() == []

        told = until(lambda: len(set(done())) == len(ids), _AWAY_S + 60)
        assert told, f"{len(set(done()))} of {len(ids)} in {heard.messages}\n{robot.last_words()}"

        assert list(dict.fromkeys(done())) == ids
        robot.becomes("online")
        said = [(report["sequence"], report.get("part", 0)) for report in heard.reports()]
        assert said == sorted(said)


def test_a_report_of_more_applications_than_a_packet_holds_arrives_whole(robot: Machine) -> None:
    first = {
        "name": "first",
        "image": "fleetgrass/hello:failing",
        "health_check": {"kind": "http", "port": 8080, "path": "/health", "interval_s": 0.5, "timeout_s": 1},
        "healthy_window_s": 600,
        "stop_grace_s": 1,
    }
    waiting = [
        {
            "name": f"waits-for-the-first-of-all-{number:02}",
            "image": "fleetgrass/hello:v1",
            "depends_on": [{"application": "first"}],
        }
        for number in range(40)
    ]
    status, body = robot.api("Fleet.Deployer").post(
        "/deployments", {"target": {"group": robot.group}, "applications": [first, *waiting]}
    )
    assert status == 201, body

    def names() -> set[str]:
        return {each["name"] for each in robot.shown().get("applications") or []}

    with robot.overheard() as heard:
        assert until(lambda: len(names()) == 1 + len(waiting), 90), names()
        assert until(lambda: any(report.get("parts", 1) > 1 for report in heard.reports()))
        assert max(len(payload) for _, payload in heard.messages) <= 7_000
    robot.becomes("online")


def report_now() -> ReportNowCommand:
    now = datetime.now(UTC)
    return ReportNowCommand(
        command="report-now",
        id=new_id(),
        issued_at=now,
        expires_at=now + timedelta(minutes=5),
        requested_by="a test",
        reason="a test",
    )
