"""Parts of the device that know the truth: what was carried out, how often, when, and on what record.

Whatever must not be is noted here, not raised: the agent's loop would take it for a failure of a part.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from edge.containers.execute.operator_actions import ActionRefusal, OnRestarted
from edge.reporting.server_time import ROUND_TRIP_MAX_S
from tests.support.edge.fakes import FakeContainers, FakeMachine, FakeState, Fate

LEDGER = "commands.json"


class Watch:
    """What was carried out, and what must not have been."""

    def __init__(self, server_now: Callable[[], datetime], device_now: Callable[[], datetime]) -> None:
        self._server_now = server_now
        self._device_now = device_now
        self.starts: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.reboots: dict[str, int] = {}  # in which boot each was started
        self.not_before: dict[str, datetime] = {}
        self.violations: list[str] = []

    def started(self, command_id: str, entry: Mapping[str, Any], boot: int) -> None:
        """Take the moment at which a command is IN_PROGRESS on the disk for the first time."""
        self.starts[command_id] += 1
        if entry["command"] == "reboot":
            self.reboots.setdefault(command_id, boot)
        if self.starts[command_id] > 1:
            self.violations.append(f"{command_id} was started twice")
        own = entry["result"].get("clock") == "device"
        now = self._device_now() if own else self._server_now()
        if now >= datetime.fromisoformat(entry["expires_at"]):
            self.violations.append(f"{command_id} was started after its end, at {now} (device's: {own})")
        earliest = self.not_before.get(command_id, now) - timedelta(seconds=0 if own else ROUND_TRIP_MAX_S)
        if now < earliest:
            self.violations.append(f"{command_id} was started too early, at {now} (device's: {own})")

    def ran(self, what: str, recorded: list[str]) -> None:
        """Take that something was done, and which commands of its kind the disk says are in progress.

        Exactly one of them must be new to us: without one it was not recorded before, or ran twice.
        """
        fresh = [command_id for command_id in recorded if command_id not in self.runs]
        if len(fresh) != 1:
            self.violations.append(f"{what}: not run before of those on the disk: {fresh}")
        self.runs.update(fresh)


def in_progress(content: bytes | None) -> dict[str, Any]:
    """Return the commands that a ledger file says are being carried out; none where it says nothing."""
    try:
        entries: dict[str, Any] = json.loads(content or b"{}").get("entries", {})
    except ValueError:
        return {}
    return {name: entry for name, entry in entries.items() if entry["result"]["state"] == "IN_PROGRESS"}


class WatchedState(FakeState):
    """Sees a command start when the disk says so for the first time."""

    def __init__(self, fate: Fate, watch: Watch, boot: Callable[[], int]) -> None:
        super().__init__(fate)
        self._watch = watch
        self._boot = boot

    def write(self, name: str, content: bytes) -> None:
        if name == LEDGER:
            before = in_progress(self.files.get(name))
            for command_id, entry in in_progress(content).items():
                if command_id not in before:
                    self._watch.started(command_id, entry, self._boot())
        super().write(name, content)

    def running(self, command: str) -> list[str]:
        """Return the commands of a kind that the disk says are being carried out."""
        found = in_progress(self.files.get(LEDGER)).items()
        return [command_id for command_id, entry in found if entry["command"] == command]


class WatchedMachine(FakeMachine):
    """Knows for which command it was asked to reboot."""

    def __init__(self, fate: Fate, watch: Watch, state: WatchedState) -> None:
        super().__init__(fate)
        self._watch = watch
        self._state = state

    def reboot(self) -> None:
        self._watch.ran("reboot", self._state.running("reboot"))
        super().reboot()


class WatchedContainers(FakeContainers):
    """Knows for which command it was asked to restart; a restart lasts until it is told to end."""

    def __init__(self, watch: Watch, state: WatchedState) -> None:
        super().__init__()
        self._watch = watch
        self._state = state
        self.under_way: list[OnRestarted] = []

    def restart(
        self, application: str, on_restarted: OnRestarted, *, force: bool = False
    ) -> ActionRefusal | None:
        self._watch.ran(f"restart of {application}", self._state.running("restart-application"))
        self.under_way.append(on_restarted)
        return None

    def end_restarts(self) -> None:
        """Let every restart under way end well."""
        under_way, self.under_way = self.under_way, []
        for on_restarted in under_way:
            on_restarted(None)
