"""How a device is a row, and the two writes that a message becomes. Pure; DynamoDB's words, no call.

Times are Unix milliseconds of the server. ``writes`` counts the messages that were applied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.aws.attributes import from_item
from cloud.device import Device
from cloud.hearing import News, names_of
from cloud.milliseconds import from_ms, to_ms
from contract.defaults import APPLICATIONS_MAX
from contract.reports import DeviceReport

_TIMES = ("enrolled_at", "connected_since", "offline_since", "last_report_at", "stale_at")
#: What messages of the device (not presence) decide; a write of a message sets all of these.
_HEARD = (
    "epoch", "sequence", "last_report_at", "stale_at", "interval_s", "agent_version", "boot_id", "goodbye",
    "clock_skew_s", "malformed_messages", "engine", "host", "desired", "application_names", "names_sequence",
)  # fmt: skip
#: What a list of devices shows.
SUMMARY = (
    "device", "group", "enrolled_at", "connected", "connected_since", "offline_since", "disconnect_reason",
    "epoch", "sequence", "last_report_at", "stale_at", "interval_s", "agent_version", "boot_id", "goodbye",
    "engine", "host", "desired",
)  # fmt: skip


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
    """Return the device of an item; what a projection left out is as if it was never heard."""
    row = from_item(item)
    applications = row.get("applications", {})
    names = row.get("application_names")
    known = {name: row[name] for name in (*_HEARD, *SUMMARY) if row.get(name) is not None}
    known |= {name: from_ms(row[name]) for name in _TIMES if name in known}
    known.pop("device")
    known["writes"] = row.get("writes", 0)
    known["application_names"] = None if names is None else tuple(names)
    return Device(
        name=row["device"],
        **({"group": None} | known),
        applications={name: entry["status"] for name, entry in applications.items()},
        application_sequences={name: entry["sequence"] for name, entry in applications.items()},
    )


def replacement(after: Device) -> Write:
    """Return the write of everything heard, which holds if ``after`` was made of the row as it still is."""
    row = {attribute: _stored(getattr(after, attribute)) for attribute in _HEARD}
    row["applications"] = {
        name: {"sequence": after.application_sequences[name], "status": status}
        for name, status in after.applications.items()
    }
    named = after.application_names
    row["unnamed"] = named is None or not set(after.applications) <= set(named)
    sets = [f"#{i} = :{i}" for i, value in enumerate(row.values()) if value is not None]
    removes = [f"#{i}" for i, value in enumerate(row.values()) if value is None]
    change = "SET " + ", ".join([*sets, "writes = writes + :one"])
    if removes:
        change += " REMOVE " + ", ".join(removes)
    values: dict[str, object] = {f":{i}": value for i, value in enumerate(row.values()) if value is not None}
    return Write(
        change,
        "writes = :writes",
        values | {":one": 1, ":writes": after.writes},
        {f"#{i}": attribute for i, attribute in enumerate(row)},
    )


def confirmation(news: News) -> Write:
    """Return the write of what moves with every message, which holds if ``news`` says nothing else new.

    It is LOOK for what no expression can say (DynamoDB: 4 KB, 300 operators, no path twice).
    """
    message = news.message
    if isinstance(message, DeviceReport):
        told = [status.name for status in message.applications]
        if len(told) > APPLICATIONS_MAX or len(set(told)) < len(told):
            return LOOK
    names = {"#sequence": "sequence"}
    values: dict[str, object] = {
        ":epoch": message.epoch,
        ":sequence": message.sequence,
        ":at": to_ms(news.received_at),
        ":stale_at": to_ms(news.stale_at),
        ":interval_s": message.interval_s,
        ":agent_version": message.agent_version,
        ":boot_id": message.boot_id,
        ":skew": news.clock_skew_s,
        ":one": 1,
    }
    sets = [
        "#sequence = :sequence", "last_report_at = :at", "stale_at = :stale_at",
        "interval_s = :interval_s", "agent_version = :agent_version", "boot_id = :boot_id",
        "clock_skew_s = :skew", "writes = writes + :one",
    ]  # fmt: skip
    conditions = ["epoch = :epoch", "last_report_at <= :at"]
    if isinstance(message, DeviceReport):
        conditions.append("#sequence <= :sequence")
        _expect(message, names, values, sets, conditions)
    else:
        conditions.append("#sequence < :sequence")
    remove = " REMOVE goodbye"
    if news.goodbye is not None:
        sets.append("goodbye = :goodbye")
        values[":goodbye"] = news.goodbye
        remove = ""
    return Write("SET " + ", ".join(sets) + remove, " AND ".join(conditions), values, names)


def _expect(
    report: DeviceReport,
    names: dict[str, str],
    values: dict[str, object],
    sets: list[str],
    conditions: list[str],
) -> None:
    """Add to the write that it holds only if ``report`` says what the row already says."""
    if report.applications:
        names |= {"#a": "applications", "#t": "status", "#s": "sequence"}
        values[":s"] = report.sequence
    for i, status in enumerate(report.applications):  # in few letters: 64 must fit into an expression
        names[f"#{i}"] = status.name
        values[f":{i}"] = status.to_dict()
        conditions.append(f"#a.#{i}.#t = :{i} AND #a.#{i}.#s < :s")
        sets.append(f"#a.#{i}.#s = :s")
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


def _stored(value: object) -> object:
    return to_ms(value) if isinstance(value, datetime) else value
