"""A device whose clock is a year off, ahead or behind: the server's time decides, and the skew is shown."""

from datetime import UTC, datetime, timedelta

import pytest

from contract.commands import RebootCommand
from tests.support.platform.lab import until
from tests.support.platform.machines import Machine, new_id

pytestmark = pytest.mark.platform

YEAR_S = 365 * 86_400.0


@pytest.mark.parametrize("ahead_s", [YEAR_S, -YEAR_S])
def test_a_clock_that_is_a_year_off_decides_nothing_and_is_shown(robot: Machine, ahead_s: float) -> None:
    robot.set_clock(ahead_s)
    try:
        robot.becomes("online")
        assert until(lambda: abs(robot.shown()["clock_skew_s"] - ahead_s) < 120), robot.shown()

        over = a_reboot(issued=-20, expires=-10)
        boots = robot.boots()
        with robot.overheard() as heard:
            robot.deliver(over)
            assert until(lambda: bool(heard.results(over.id)))
        [refusal] = heard.results(over.id)
        assert (refusal["state"], refusal.get("clock", "server")) == ("EXPIRED", "server")

        status, command = robot.reboot(expires_in_s=300)
        assert status == 202, command
        done = robot.ends(command["id"])

        assert (done["state"], done["boot_id"]) == ("SUCCEEDED", robot.device.boot_id())
        assert done["boot_id_before"] != done["boot_id"]
        assert robot.boots() == boots + 1
        seen = robot.becomes("online")
        assert abs(seen["clock_skew_s"] - ahead_s) < 120
        for shown in (seen["since"], seen["last_report_at"], *(step["at"] for step in done["transitions"])):
            assert abs(datetime.fromisoformat(shown) - datetime.now(UTC)) < timedelta(minutes=15)
    finally:
        robot.set_clock(0)


def a_reboot(*, issued: float, expires: float) -> RebootCommand:
    """A reboot with its times in minutes from now."""
    now = datetime.now(UTC)
    return RebootCommand(
        id=new_id(),
        issued_at=now + timedelta(minutes=issued),
        expires_at=now + timedelta(minutes=expires),
        requested_by="a test",
        reason="a test",
    )
