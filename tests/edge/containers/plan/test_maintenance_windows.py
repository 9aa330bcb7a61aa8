"""When maintenance windows are open, by whose clock ever."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.cron import Cron
from contract.desired import MaintenanceWindow
from edge.containers.plan.maintenance_windows import is_open, next_opening

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = MaintenanceWindow(cron="30 2 * * *", duration_min=60)
NIGHTLY_HERE = MaintenanceWindow(cron="30 2 * * *", duration_min=60, time_zone="local")


def berlin(moment: datetime) -> datetime:
    return moment.astimezone(BERLIN)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "open_then"),
    [
        ("2026-11-22 02:29:59", False),
        ("2026-11-22 02:30:00", True),
        ("2026-11-22 03:29:59", True),
        ("2026-11-22 03:30:00", False),
    ],
)
def test_a_window_is_open_from_its_minute_on_for_its_duration(moment: str, open_then: bool) -> None:
    assert is_open([NIGHTLY], at(moment), berlin) is open_then


def test_a_local_window_opens_by_the_devices_own_clock() -> None:
    assert is_open([NIGHTLY_HERE], at("2026-11-22 01:30"), berlin)
    assert not is_open([NIGHTLY_HERE], at("2026-11-22 02:30"), berlin)
    assert next_opening([NIGHTLY_HERE], at("2026-07-01 12:00"), berlin) == at("2026-07-02 00:30")


def test_one_open_window_is_enough_and_none_at_all_is_never_open() -> None:
    noon = MaintenanceWindow(cron="0 12 * * *", duration_min=10)

    assert is_open([NIGHTLY, noon], at("2026-11-22 12:05"), berlin)
    assert not is_open([], at("2026-11-22 12:05"), berlin)


def test_an_hour_that_daylight_saving_skips_opens_nothing_that_day() -> None:
    assert next_opening([NIGHTLY_HERE], at("2026-03-28 12:00"), berlin) == at("2026-03-30 00:30")


def test_a_window_may_last_over_midnight_and_for_days() -> None:
    weekend = MaintenanceWindow(cron="0 22 * * fri", duration_min=56 * 60)

    assert is_open([weekend], at("2026-11-22 23:00"), berlin)  # Sunday
    assert not is_open([weekend], at("2026-11-23 06:01"), berlin)
    assert next_opening([weekend], at("2026-11-23 06:01"), berlin) == at("2026-11-27 22:00")


def test_a_window_of_a_rare_date_is_found_and_one_of_no_date_is_not() -> None:
    new_year = MaintenanceWindow(cron="0 0 1 1 *", duration_min=30)
    never = MaintenanceWindow(cron="0 0 30 2 *", duration_min=30)

    assert next_opening([never, new_year], at("2026-01-02 00:00"), berlin) == at("2027-01-01 00:00")
    assert next_opening([never], at("2026-01-02 00:00"), berlin) is None


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["*/7 3-5 * * *", "15 2 * * mon", "0 0 13 * 5", "59 23 28-31 * *"]),
    st.sampled_from([1, 90, 3000]),
    st.booleans(),
)
def test_it_says_what_looking_at_every_minute_would_say(
    now: datetime, cron: str, duration_min: int, local: bool
) -> None:
    window = MaintenanceWindow(cron=cron, duration_min=duration_min, time_zone="local" if local else "utc")
    this_minute = now.replace(second=0, microsecond=0)

    def named(minute: datetime) -> bool:
        return Cron.parse(cron).matches(berlin(minute) if local else minute)

    assert is_open([window], now, berlin) == any(
        named(this_minute - timedelta(minutes=ago)) for ago in range(duration_min)
    )
    opening = next_opening([window], now, berlin)
    assert opening is not None
    assert opening > now
    assert named(opening)
