"""Five-field cron expressions: minute, hour, day of month, month, day of week. Pure; reads no clock."""

from dataclasses import dataclass
from datetime import datetime

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression. With both day fields given, either one is enough, as cron has it."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    any_day: bool
    any_weekday: bool

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Return the expression: ``*``, numbers, names, lists, ranges and steps.

        Raises:
            ValueError: it is none; the text names the field.
        """
        fields = text.lower().split()
        if len(fields) != 5:
            raise ValueError(f"{len(fields)} fields, and cron has five: minute hour day month weekday")
        minute, hour, day, month, weekday = fields
        return cls(
            minutes=_field("minute", minute, 0, 59),
            hours=_field("hour", hour, 0, 23),
            days=_field("day", day, 1, 31),
            months=_field("month", month, 1, 12, dict(zip(_MONTHS, range(1, 13), strict=True))),
            weekdays=frozenset(
                number % 7
                for number in _field("weekday", weekday, 0, 7, dict(zip(_WEEKDAYS, range(7), strict=True)))
            ),
            any_day=day.startswith("*"),
            any_weekday=weekday.startswith("*"),
        )

    def matches(self, moment: datetime) -> bool:
        """Whether the expression names this minute, as the moment's own clock shows it."""
        if moment.minute not in self.minutes or moment.hour not in self.hours:
            return False
        if moment.month not in self.months:
            return False
        day = moment.day in self.days
        weekday = moment.isoweekday() % 7 in self.weekdays
        return day and weekday if self.any_day or self.any_weekday else day or weekday


def _field(
    name: str, text: str, first: int, last: int, words: dict[str, int] | None = None
) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(name, step_text, 1, last) if slash else 1
        if span == "*":
            low, high = first, last
        else:
            start, dash, end = span.partition("-")
            low = _number(name, start, first, last, words)
            high = _number(name, end, first, last, words) if dash else last if slash else low
        if high < low:
            raise ValueError(f"{name}: {span} runs backwards")
        found.update(range(low, high + 1, step))
    return frozenset(found)


def _number(name: str, text: str, first: int, last: int, words: dict[str, int] | None = None) -> int:
    if words and text in words:
        return words[text]
    if not (text.isascii() and text.isdigit()) or not first <= int(text) <= last:
        raise ValueError(f'{name}: "{text}" is not between {first} and {last}')
    return int(text)
