"""What must hold at every moment, and what must hold once everything was delivered."""

from collections.abc import Iterator, Mapping

from cloud.domain.commands import command_ledger
from cloud.domain.commands.command import Command
from contract.commands import CommandState
from contract.reports import DeviceReport
from tests.support.edge.fakes import THING
from tests.system.system import System

_ORDER = (CommandState.PENDING, CommandState.DELIVERED, CommandState.IN_PROGRESS)


def of_the_ledger(before: Mapping[str, Command], after: Mapping[str, Command]) -> Iterator[str]:
    """Yield where the cloud's ledger went backward."""
    for name, was in before.items():
        now = after.get(name)
        if now is None:
            yield f"{name} vanished"
            continue
        if _rank(now.state) < _rank(was.state) or (was.state.final and now.state is not was.state):
            yield f"{name} went from {was.state} to {now.state}"
        sent_after_all = was.inferred and was.inferred.code == "not-sent" and now.inferred is None
        if was.inferred and now.state is was.state and now.inferred != was.inferred and not sent_after_all:
            yield f"{name} went from {was.inferred} to {now.inferred} without a word of the device"
        if now.state.final and now.inferred is not None:
            yield f"{name} has a word of the device, {now.state}, and {now.inferred} stands beside it"
        steps = [CommandState(step["state"]) for step in now.transitions if step["by"] == "device"]
        if [_rank(step) for step in steps] != sorted({_rank(step) for step in steps}):
            yield f"{name} tells of steps {steps}"


def of_what_was_carried_out(system: System) -> Iterator[str]:
    """Yield what the device did and must not have done, and what it said that was not so."""
    yield from system.watch.violations
    for result in system.harness.results():
        if result.state is not CommandState.SUCCEEDED or result.id not in system.watch.reboots:
            continue
        if result.boot_id is None or result.boot_id == result.boot_id_before:
            yield f"{result.id} SUCCEEDED without another boot id"
        if system.harness.machine.boot == system.watch.reboots[result.id]:
            yield f"{result.id} SUCCEEDED and the machine never went down"


def of_the_row(system: System) -> Iterator[str]:
    """Yield where the device's row is not the newest of what was heard."""
    heard = system.heard
    if heard.head is None or len(heard.epochs) > 1:
        return
    row = system.cloud.device()
    if row.sequence < heard.sequence:  # a hello or goodbye may be newer still
        yield f"the row is of {row.sequence}, and {heard.sequence} was heard"
    named = (heard.head.sequence, tuple(heard.head.application_names or ()))
    if (row.names_sequence, row.application_names) != named:
        yield f"the row has names {row.application_names} of {row.names_sequence}, not {named}"
    for name, status in row.applications.items():
        if status != heard.statuses[name][1].to_dict():
            yield f"the row has {name} as {status}"


def at_rest(system: System) -> Iterator[str]:
    """Yield what is not as it is, when everything was delivered and time enough has passed."""
    rows = system.cloud.ledger()
    said = {result.id: result.state for result in system.harness.results()}
    ends = _ends(system)
    for name, states in ends.items():
        # What it forgot, an hour after its end or with its ledger, it calls EXPIRED: it is too late for it.
        if len(states - {CommandState.EXPIRED}) > 1 and not system.ledgers_lost:
            yield f"{name} ended as {states}"
    for name in sorted(system.reached):
        if name not in said or not said[name].final:
            yield f"{name} reached the device and was answered {said.get(name)}"
    for name, row in rows.items():
        if not row.state.final and row.conclusion(system.now) is None:
            yield f"{name} is {row.state} for ever"
        if name in said and name not in system.lost_words:
            told = ends.get(name, {said[name]})
            if row.state not in told:
                yield f"{name} is {row.state} in the ledger; the device said {told}"
        due = command_ledger.due_at(row.state, expires_at=row.expires_at, changed_at=row.changed_at)
        if due is not None and due < system.now and row.inferred is None:
            yield f"{name} was not swept"
    yield from _row_at_rest(system)


def _row_at_rest(system: System) -> Iterator[str]:
    reports = system.harness.reports()
    last: list[DeviceReport] = [r for r in reports if r.sequence == reports[-1].sequence]
    row = system.cloud.device()
    told = {status.name: status.to_dict() for part in last for status in part.applications}
    if row.applications != told or row.application_names != tuple(last[0].application_names or ()):
        yield f"the row of {THING} has {sorted(row.applications)}; the device told {sorted(told)}"
    for field in ("epoch", "boot_id", "malformed_messages", "engine"):
        if getattr(row, field) != getattr(last[0], field):
            yield f"the row has {field} {getattr(row, field)}"
    if last[0].desired is not None and row.desired != last[0].desired.to_dict():
        yield f"the row has desired {row.desired}"


def _ends(system: System) -> dict[str, set[CommandState]]:
    """Return how each command ended, by the device's word."""
    ends: dict[str, set[CommandState]] = {}
    for result in system.harness.results():
        if result.state.final:
            ends.setdefault(result.id, set()).add(result.state)
    return ends


def _rank(state: CommandState) -> int:
    return _ORDER.index(state) if state in _ORDER else len(_ORDER)
