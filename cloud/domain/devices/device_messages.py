"""Device messages (hello, goodbye, reports) applied to a device's row, in whatever order they arrive.

Pure. Hello, goodbye and the parts of reports share one ``(epoch, sequence)``. Within an epoch the
higher sequence wins, for each application by the sequence of the part that carried it; another epoch
(a device whose state folder was lost) wins when the rule saw it later.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cloud.defaults import STALE_AFTER_INTERVALS
from cloud.domain.devices.device import Device
from cloud.domain.devices.device_history import span_of
from contract.events import ConnectionEvent
from contract.reports import DeviceReport


@dataclass(frozen=True, slots=True)
class DeviceMessage:
    """One message of a device, with the rule's time: a part of a report, a hello or a goodbye."""

    device: str
    message: DeviceReport | ConnectionEvent
    received_at: datetime

    @property
    def stale_at(self) -> datetime:
        """When the device is overdue, had this been its last message."""
        return self.received_at + timedelta(seconds=self.message.interval_s * STALE_AFTER_INTERVALS)

    @property
    def goodbye(self) -> str | None:
        """Why the agent stops, when this is its goodbye."""
        if isinstance(self.message, ConnectionEvent) and self.message.event == "goodbye":
            return self.message.reason or "shutdown"
        return None

    @property
    def clock_skew_s(self) -> float:
        """The device's time minus the server's."""
        return round((self.message.at - self.received_at).total_seconds(), 3)


def names_of(report: DeviceReport) -> tuple[str, ...] | None:
    """Return the names of all applications on the device, where this part tells them."""
    if report.part != 0:
        return None
    if report.application_names is not None:
        return tuple(report.application_names)
    return tuple(a.name for a in report.applications) if report.parts == 1 else None


def apply_message(device: Device, news: DeviceMessage) -> Device:
    """Return ``device`` after ``news``; the same object when nothing in it is new."""
    message = news.message
    if device.epoch != message.epoch:
        if device.last_report_at is not None and news.received_at <= device.last_report_at:
            return device
        device = replace(
            device,
            epoch=message.epoch,
            sequence=-1,
            nucleus=None,
            names_sequence=-1,
            application_sequences=dict.fromkeys(device.applications, -1),
        )
    if message.sequence > device.sequence:
        device = replace(
            device,
            sequence=message.sequence,
            last_report_at=news.received_at,
            stale_at=news.stale_at,
            interval_s=message.interval_s,
            agent_version=message.agent_version,
            level=message.level,
            boot_id=message.boot_id,
            nucleus=message.nucleus or device.nucleus,
            goodbye=news.goodbye,
            clock_skew_s=news.clock_skew_s,
            reporting_since=device.reporting_since if _in_time(device, news) else news.received_at,
        )
    elif (
        message.sequence == device.sequence
        and device.last_report_at is not None
        and device.last_report_at < news.received_at
    ):
        device = replace(
            device, last_report_at=news.received_at, stale_at=news.stale_at, clock_skew_s=news.clock_skew_s
        )
    return _hear_report(device, message, news.received_at) if isinstance(message, DeviceReport) else device


def _in_time(device: Device, news: DeviceMessage) -> bool:
    """Whether the device was well until now: neither overdue nor gone after a goodbye."""
    return device.goodbye is None and device.stale_at is not None and news.received_at <= device.stale_at


def _hear_report(device: Device, report: DeviceReport, received_at: datetime) -> Device:
    applications, sequences = dict(device.applications), dict(device.application_sequences)
    head = report.part == 0 and report.sequence > device.names_sequence
    if head:
        names, span = names_of(report), span_of(received_at)
        device = replace(
            device,
            history_at=span if device.history_at is None else max(device.history_at, span),
            names_sequence=report.sequence,
            application_names=names,
            host={} if report.host is None else report.host.to_dict(),
            desired={} if report.desired is None else report.desired.to_dict(),
            engine=report.engine,
            malformed_messages=report.malformed_messages,
        )
        older = {name for name, sequence in sequences.items() if sequence <= report.sequence}
        for name in older.difference(older if names is None else names):
            del applications[name], sequences[name]
    heard, changes = False, 0
    for status in report.applications:
        named = device.application_names is None or status.name in device.application_names
        newer = report.sequence > sequences.get(status.name, -2)
        if newer and (named or report.sequence > device.names_sequence):
            told = status.to_dict()
            before = applications.get(status.name, told)
            changes += before["state"] != told["state"]
            applications[status.name], sequences[status.name] = told, report.sequence
            heard = True
    if head or heard:
        device = replace(
            device,
            applications=applications,
            application_sequences=sequences,
            state_changes=device.state_changes + changes,
        )
    return device
