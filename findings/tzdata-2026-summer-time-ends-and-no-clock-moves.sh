#!/usr/bin/env bash
# tzdata 2026.6 (tz 2026f): on 1 November 2026 summer time ends in four Canadian zones by dst(), and no clock moves.
#
# Vancouver, Edmonton, Winnipeg and Inuvik keep their summer's offset from 2026 on. One would expect either no transition any more,
# or none but of the law. Seen: at the hour at which clocks used to go back, utcoffset() stays, dst() falls from an hour to 0 (in
# Inuvik from *two*, which is what CPython's zoneinfo says there every summer) and the name changes: Vancouver goes from PDT to
# MST, Edmonton from MDT to CST, Winnipeg from CDT to EST. So what finds clock changes by dst() or by the name, which were as good
# as the offset for a hundred years, warns of one that is none, or splits a night's window in two; and utcoffset() - dst(), the
# usual way to "standard time", jumps by an hour while nothing happens.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tzdata==2026.6
cat >"$folder/look.py" <<'PYTHON'
import datetime
import sys
import zoneinfo

import tzdata

zoneinfo.reset_tzpath(to=[])  # the package's files, not this machine's
HALF_HOUR = datetime.timedelta(minutes=30)
EXPECTED = {  # zone: when, in UTC; offset in hours before and after, dst() in hours and name before and after
    "America/Vancouver": ("01 November 09:00", -7, -7, 1, "PDT", 0, "MST"),
    "America/Edmonton": ("01 November 08:00", -6, -6, 1, "MDT", 0, "CST"),
    "America/Inuvik": ("01 November 08:00", -6, -6, 2, "MDT", 0, "CST"),
    "America/Winnipeg": ("01 November 07:00", -5, -5, 1, "CDT", 0, "EST"),
    "America/Toronto": ("01 November 06:00", -4, -5, 1, "EDT", 0, "EST"),
}


def hours(delta):
    return delta.total_seconds() / 3600


def transitions(name):
    """What changes in the zone from October 2026 to January 2027."""
    zone = zoneinfo.ZoneInfo(name)
    for number in range(48 * 123):
        instant = datetime.datetime(2026, 10, 1, tzinfo=datetime.timezone.utc) + number * HALF_HOUR
        old, new = ((instant + plus).astimezone(zone) for plus in (-HALF_HOUR, datetime.timedelta()))
        if (old.utcoffset(), old.dst(), old.tzname()) != (new.utcoffset(), new.dst(), new.tzname()):
            offsets = (hours(old.utcoffset()), hours(new.utcoffset()))
            yield (f"{instant:%d %B %H:%M}", *offsets, hours(old.dst()), old.tzname(), hours(new.dst()), new.tzname())


seen = {name: list(transitions(name)) for name in EXPECTED}
print(f"tz {tzdata.IANA_VERSION}, October 2026 to January 2027:")
for name, found in seen.items():
    for at, before, after, old_dst, old_name, new_dst, new_name in found:
        print(f"{name}, {at} UTC: offset {before:+g} -> {after:+g} h, dst() {old_dst:g} -> {new_dst:g} h, {old_name} -> {new_name}")
sys.exit(seen != {name: [transition] for name, transition in EXPECTED.items()})
PYTHON
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/look.py" || { echo "it behaves otherwise now"; exit 1; }
