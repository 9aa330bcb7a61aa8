"""Rows of devices: to DynamoDB attributes and back, and the write that an event becomes. Pure, no call.

Times are Unix milliseconds of the server. ``writes`` counts the messages that were applied. Connections
that ended are ``began_0``, ``ended_0`` (the newest) and so on: one write moves them all along.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from cloud.aws.attributes import from_item
from cloud.domain.devices.device import STILL_UP_AFTER, Connection, Device, Rebooting
from cloud.domain.devices.device_history import span_of
from cloud.domain.devices.device_index import connection_status, partition
from cloud.domain.devices.device_messages import DeviceMessage, names_of
from cloud.domain.devices.device_reducer import (
    CONNECTIONS_KEPT,
    LATER_CONNECTION_AFTER,
    VERSION_FORGOTTEN_AFTER,
)
from cloud.domain.devices.presence import Presence
from cloud.domain.timestamps import from_ms, to_ms
from contract.defaults import APPLICATIONS_MAX
from contract.names import Nucleus
from contract.reports import DeviceReport

_TIMES = (
    "enrolled_at", "connected_since", "offline_since", "presence_event_at", "last_report_at", "stale_at",
    "reporting_since", "history_at",
)  # fmt: skip
#: What presence events decide.
_PRESENCE = (
    "connected", "connected_since", "offline_since", "disconnect_reason",
    "presence_session", "presence_version", "presence_event_at",
)  # fmt: skip
#: What messages of the device decide; a write of a message sets all of these.
_HEARD = (
    "epoch", "sequence", "last_report_at", "stale_at", "reporting_since", "interval_s", "agent_version",
    "level", "nucleus", "boot_id", "goodbye", "clock_skew_s", "malformed_messages", "engine", "host",
    "desired", "application_names", "names_sequence", "state_changes", "history_at",
)  # fmt: skip
_CONNECTIONS = tuple((f"began_{i}", f"ended_{i}") for i in range(CONNECTIONS_KEPT))
#: What a list of devices shows.
SUMMARY = (
    "device", "group", "enrolled_at", "connected", "connected_since", "offline_since", "disconnect_reason",
    "epoch", "sequence", "last_report_at", "stale_at", "reporting_since", "interval_s", "agent_version",
    "level", "nucleus", "boot_id", "goodbye", "clock_skew_s", "engine", "host", "desired",
    *(attribute for pair in _CONNECTIONS for attribute in pair),
)  # fmt: skip
#: Measurements in an application's status: they differ from report to report, and are no change of state.
_MEASURED = ("cpu_percent", "memory_bytes")
_NEVER = 0  # a time that was never reported


@dataclass(frozen=True, slots=True)
class Write:
    """One conditional update: expressions, with the values and names that they speak of."""

    change: str
    condition: str
    values: Mapping[str, object]
    names: Mapping[str, str]


#: Never holds; what it is refused with is the row as it is.
LOOK = Write("SET writes = writes", "writes < :zero", {":zero": 0}, {})


def to_device(item: Mapping[str, Any]) -> Device:
    """Return the device of an item; attributes that a projection left out are as never reported."""
    row = from_item(item)
    applications = row.get("applications", {})
    fields = ("group", "enrolled_at", *_PRESENCE, *_HEARD)
    known = {name: row[name] for name in fields if row.get(name) is not None}
    known |= {name: from_ms(row[name]) for name in _TIMES if name in known}
    known["writes"] = row.get("writes", 0)
    if "nucleus" in known:
        known["nucleus"] = Nucleus(known["nucleus"])
    if "application_names" in known:
        known["application_names"] = tuple(known["application_names"])
    return Device(
        name=row["device"],
        **({"group": None} | known),
        connections=tuple(
            Connection(from_ms(row[began]) if row.get(began) else None, from_ms(row[ended]))
            for began, ended in _CONNECTIONS
            if row.get(ended)
        ),
        applications={
            name: entry["status"] | entry.get("measured", {}) for name, entry in applications.items()
        },
        application_sequences={name: entry["sequence"] for name, entry in applications.items()},
        rebooting=_rebooting(row),
    )


def _rebooting(row: Mapping[str, Any]) -> Rebooting | None:
    if "rebooting" not in row:
        return None
    began, at = row["rebooting"], from_ms(row["rebooting"]["at"])
    known, heard = row["rebooting_known"], from_ms(row["rebooting_heard"])
    older = known if known and known != began["boot_id"] and heard <= at else None
    return Rebooting(began["command"], began["boot_id"], at, older)


def reboot_began(command: str, boot_id: str, at: datetime) -> Write:
    """Return the write that notes a reboot, which holds if none of a later command is noted, nor this one.

    It also stores the boot id reported last, and when: it may be an even older one.
    """
    return Write(
        "SET rebooting = :rebooting, rebooting_known = if_not_exists(boot_id, :none), "
        "rebooting_heard = if_not_exists(last_report_at, :never)",
        "(attribute_not_exists(rebooting) OR rebooting.command < :command)",
        {
            ":rebooting": {"command": command, "boot_id": boot_id, "at": to_ms(at)},
            ":command": command,
            ":none": "",
            ":never": _NEVER,
        },
        {},
    )


def presence_write(presence: Presence) -> Write:
    """Return the write of a presence event, which holds if ``device_reducer.supersedes`` does."""
    values: dict[str, object] = {
        ":connected": presence.connected,
        ":standing": partition("connected" if presence.connected else "disconnected", presence.device),
        ":session": presence.session,
        ":version": presence.version,
        ":event_at": to_ms(presence.event_at),
        ":received_at": to_ms(presence.received_at),
        ":forgotten": to_ms(presence.event_at - VERSION_FORGOTTEN_AFTER),
    }
    counts = (
        "attribute_not_exists(presence_version) OR presence_version < :version "
        "OR presence_event_at < :forgotten"
    )
    if presence.connected:
        condition = f"({counts})"
        since = "if_not_exists(connected_since, :received_at)"
        change = f"connected_since = {since}, standing_since = {since} REMOVE offline_since"
    else:
        counts += " OR (presence_version = :version AND presence_session = :session AND connected = :true)"
        unheard = (
            "attribute_exists(goodbye) OR attribute_not_exists(last_report_at) OR last_report_at <= :later"
        )
        condition = f"({counts}) AND ({unheard})"
        change = (
            "offline_since = :received_at, standing_since = :received_at, "
            f"disconnect_reason = :reason, {_another_ended()} "
            "REMOVE connected_since"
        )
        values |= {
            ":reason": presence.reason or "disconnected",
            ":true": True,
            ":never": _NEVER,
            ":later": to_ms(presence.received_at + LATER_CONNECTION_AFTER),
        }
    return Write(
        "SET connected = :connected, standing = :standing, presence_session = :session, "
        f"presence_version = :version, presence_event_at = :event_at, {change}",
        condition,
        values,
        {},
    )


def _another_ended() -> str:
    """Return the assignments that put the connection of now before those that ended.

    An expression's right sides speak of the row as it was (DynamoDB developer guide, "Update
    expressions"); the oldest come first all the same.
    """
    moves = [
        f"{attribute} = if_not_exists({newer}, :never)"
        for older, pair in reversed(list(pairwise(_CONNECTIONS)))
        for attribute, newer in zip(pair, older, strict=True)
    ]
    began, ended = _CONNECTIONS[0]
    return ", ".join([*moves, f"{began} = if_not_exists(connected_since, :never)", f"{ended} = :received_at"])


def replacement(before: Device, after: Device) -> Write:
    """Return the write of the whole row, which holds if the row is still ``before``.

    Of presence it touches only what a message may decide: that the device is connected again.
    """
    row = {attribute: _stored(getattr(after, attribute)) for attribute in _HEARD}
    row["applications"] = {
        name: {"sequence": after.application_sequences[name], **_entry(status)}
        for name, status in after.applications.items()
    }
    named = after.application_names
    row["unnamed"] = named is None or not set(after.applications) <= set(named)
    condition, expected = "writes = :writes", {":writes": before.writes}
    if before.connected is None:  # no event tells how it stands
        row |= _standing(after)
        condition += " AND attribute_not_exists(presence_version)"
    if before.offline_since is not None and after.offline_since is None:
        row |= {attribute: _stored(getattr(after, attribute)) for attribute in _PRESENCE} | _standing(after)
        condition += " AND offline_since = :offline_since AND presence_version = :version"
        expected |= {":offline_since": to_ms(before.offline_since), ":version": before.presence_version or 0}
    values: dict[str, object] = {f":{i}": value for i, value in enumerate(row.values()) if value is not None}
    sets = [f"#{i} = :{i}" for i, value in enumerate(row.values()) if value is not None]
    removes = [f"#{i}" for i, value in enumerate(row.values()) if value is None]
    change = "SET " + ", ".join([*sets, "writes = writes + :one"])
    if removes:
        change += " REMOVE " + ", ".join(removes)
    return Write(
        change,
        condition,
        values | expected | {":one": 1},
        {f"#{i}": attribute for i, attribute in enumerate(row)},
    )


def confirmation(news: DeviceMessage) -> Write:
    """Return the write of what every message changes, which holds if ``news`` has nothing else new.

    It is LOOK for what no expression can say (DynamoDB: 4 KB, 300 operators, no path twice).
    """
    message = news.message
    if isinstance(message, DeviceReport):
        told = [status.name for status in message.applications]
        if len(told) > APPLICATIONS_MAX or len(set(told)) < len(told):
            return LOOK
    names = {"#sequence": "sequence", "#level": "level", "#at": "at"}
    values: dict[str, object] = {
        ":epoch": message.epoch,
        ":sequence": message.sequence,
        ":at": to_ms(news.received_at),
        ":stale_at": to_ms(news.stale_at),
        ":interval_s": message.interval_s,
        ":agent_version": message.agent_version,
        ":level": message.level,
        ":boot_id": message.boot_id,
        ":still_up": to_ms(news.received_at - STILL_UP_AFTER),
        ":skew": news.clock_skew_s,
        ":one": 1,
    }
    sets = [
        "#sequence = :sequence", "last_report_at = :at", "stale_at = :stale_at",
        "interval_s = :interval_s", "agent_version = :agent_version", "#level = :level",
        "boot_id = :boot_id", "clock_skew_s = :skew", "writes = writes + :one",
    ]  # fmt: skip
    conditions = [
        "(attribute_not_exists(rebooting) OR (rebooting.boot_id = :boot_id AND rebooting.#at >= :still_up))",
        "epoch = :epoch", "last_report_at <= :at", "stale_at >= :at", "attribute_not_exists(goodbye)",
    ]  # fmt: skip
    if message.nucleus is not None:
        conditions.append("nucleus = :nucleus")
        values[":nucleus"] = message.nucleus.value
    if isinstance(message, DeviceReport):
        conditions.append("#sequence <= :sequence")
        _expect(message, names, values, sets, conditions)
        if message.part == 0:
            conditions.append("history_at >= :span")
            values[":span"] = to_ms(span_of(news.received_at))
    else:
        conditions.append("#sequence < :sequence")
    if news.goodbye is not None:
        sets.append("goodbye = :goodbye")
        values[":goodbye"] = news.goodbye
    else:
        conditions.append("(attribute_not_exists(offline_since) OR offline_since >= :connected_since)")
        values[":connected_since"] = to_ms(news.received_at - LATER_CONNECTION_AFTER)
    return Write("SET " + ", ".join(sets), " AND ".join(conditions), values, names)


def _expect(
    report: DeviceReport,
    names: dict[str, str],
    values: dict[str, object],
    sets: list[str],
    conditions: list[str],
) -> None:
    """Add to the write that it holds only if ``report`` says what the row already says."""
    if report.applications:
        names |= {"#a": "applications", "#t": "status", "#s": "sequence", "#m": "measured"}
        values[":s"] = report.sequence
    for i, status in enumerate(report.applications):  # in few letters: 64 must fit into an expression
        names[f"#{i}"] = status.name
        entry = _entry(status.to_dict())
        values |= {f":{i}": entry["status"], f":m{i}": entry["measured"]}
        conditions.append(f"#a.#{i}.#t = :{i} AND #a.#{i}.#s < :s")
        sets.append(f"#a.#{i}.#s = :s, #a.#{i}.#m = :m{i}")
    if report.part != 0:
        return
    named = names_of(report)
    same: dict[str, object] = {
        "desired": {} if report.desired is None else report.desired.to_dict(),
        "engine": report.engine,
        "application_names": None if named is None else list(named),
    }
    for attribute, value in same.items():
        if value is None:
            conditions.append(f"attribute_not_exists({attribute})")
        else:
            conditions.append(f"{attribute} = :{attribute}")
            values[f":{attribute}"] = value
    conditions += ["names_sequence < :sequence", "unnamed = :false"]
    sets += ["names_sequence = :sequence", "#host = :host", "malformed_messages = :malformed"]
    names["#host"] = "host"
    values |= {
        ":false": False,
        ":host": {} if report.host is None else report.host.to_dict(),
        ":malformed": report.malformed_messages,
    }


def _entry(status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a status in two: facts whose change is reported at once, and measurements."""
    return {
        "status": {name: value for name, value in status.items() if name not in _MEASURED},
        "measured": {name: value for name, value in status.items() if name in _MEASURED},
    }


def _standing(device: Device) -> dict[str, object]:
    standing, since = connection_status(device)
    return {"standing": partition(standing, device.name), "standing_since": to_ms(since)}


def _stored(value: object) -> object:
    if isinstance(value, datetime):
        return to_ms(value)
    return value.value if isinstance(value, Nucleus) else value
