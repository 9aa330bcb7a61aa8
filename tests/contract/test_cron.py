"""When a window opens, as cron has it."""

import contextlib
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.cron import Cron

SATURDAY = datetime(2026, 11, 21, 2, 30)


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("* * * * *", SATURDAY, True),
        ("30 2 * * *", SATURDAY, True),
        ("31 2 * * *", SATURDAY, False),
        ("*/15 2 * * *", SATURDAY, True),
        ("*/20 2 * * *", SATURDAY, False),
        ("30 1-3 * * *", SATURDAY, True),
        ("30 0,2 * * *", SATURDAY, True),
        ("10/20 2 * * *", SATURDAY, True),
        ("30 2 * nov *", SATURDAY, True),
        ("30 2 * 10 *", SATURDAY, False),
        ("30 2 * * SAT", SATURDAY, True),
        ("30 2 * * mon-fri", SATURDAY, False),
        ("30 2 * * 7", datetime(2026, 11, 22, 2, 30), True),
        ("30 2 * * 0", datetime(2026, 11, 22, 2, 30), True),
        ("30 2 1 * sat", SATURDAY, True),  # both days given: either is enough
        ("30 2 21 * mon", SATURDAY, True),
        ("30 2 1 * mon", SATURDAY, False),
        ("30 2 1 * *", SATURDAY, False),
    ],
)
def test_an_expression_names_the_minutes_that_cron_would(text: str, moment: datetime, expected: bool) -> None:
    assert Cron.parse(text).matches(moment) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("60 * * * *", 'minute: "60" is not between 0 and 59'),
        ("* * 0 * *", "day"),
        ("* 5-3 * * *", "hour: 5-3 runs backwards"),
        ("*/0 * * * *", "minute"),
        ("* * * * someday", 'weekday: "someday"'),
        ("1,,2 * * * *", "minute"),
        ("² * * * *", "minute"),
    ],
)
def test_what_cron_would_not_take_is_refused_by_field(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Cron.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        Cron.parse(text)
