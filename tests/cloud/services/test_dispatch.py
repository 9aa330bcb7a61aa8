"""Any command through the ledger to its device, on DynamoDB in memory."""

from datetime import timedelta
from typing import Any

import pytest

from cloud.domain.commands.command import Command
from cloud.domain.commands.command_ledger import Inferred
from cloud.services.dispatch import Dispatcher
from cloud.tables.commands import Commands
from contract.commands import (
    AnyCommand,
    CollectLogsCommand,
    CommandResult,
    CommandState,
    RebootCommand,
    ReportNowCommand,
    RestartApplicationCommand,
    RetryApplicationCommand,
    RotateSecretsCommand,
    parse_command,
)
from contract.names import identifier
from tests.support.cloud.api import COMMANDS, NOW, Clock, empty
from tests.support.cloud.fakes import FakeBroker

State = CommandState
PART_OF = identifier("grb", unix_ms=1, random80=1)
LATER = NOW + timedelta(milliseconds=1, microseconds=567)


def common(number: int = 1, after_s: float = 0) -> dict[str, Any]:
    at = LATER + timedelta(seconds=after_s)
    made = identifier("cmd", unix_ms=int(at.timestamp() * 1000), random80=number)
    return {
        "id": made, "issued_at": at, "expires_at": at + timedelta(seconds=60), "requested_by": "ada",
        "reason": "stuck",
    }  # fmt: skip


def a_reboot(number: int = 1, after_s: float = 0, **more: Any) -> RebootCommand:
    return RebootCommand(**common(number, after_s), **more)


def made_of(message: AnyCommand, **more: Any) -> Command:
    return Command.made_of("robot-7", message, **more)


@pytest.fixture
def commands(table: Any) -> Commands:
    empty(table, COMMANDS)
    return Commands(table, COMMANDS)


def stored(commands: Commands, command: str) -> Command:
    found = commands.get("robot-7", command)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "message",
    [
        a_reboot(),
        a_reboot(force=True, override_budget=True, not_before=LATER + timedelta(seconds=9)),
        RestartApplicationCommand(**common(), command="restart-application", application="web", force=True),
        RetryApplicationCommand(**common(), command="retry-application", application="web"),
        ReportNowCommand(**common(), command="report-now"),
        CollectLogsCommand(**common(), command="collect-logs", application="web", lines=7),
        RotateSecretsCommand(**common(), command="rotate-secrets", application="web"),
    ],
    ids=lambda message: getattr(message, "command", "reboot"),
)
def test_what_is_sent_again_from_the_ledger_is_the_very_same_message(
    commands: Commands, message: Any
) -> None:
    broker = FakeBroker()
    made = Dispatcher(commands, broker).issue(made_of(message))

    Dispatcher(commands, broker).send(stored(commands, made.id), NOW)

    (topic, first), again = broker.published
    assert (topic, first) == again
    kind = getattr(message, "command", "reboot")
    assert (topic, made.kind) == (f"cmd/fleetgrass/robot-7/{kind}/req", kind)
    whole_ms = {name: getattr(made, name) for name in ("issued_at", "expires_at")}
    assert parse_command(first) == message.model_copy(update=whole_ms)
    assert timedelta() <= message.issued_at - made.issued_at < timedelta(milliseconds=1)


def test_only_an_older_reboot_that_has_not_started_gives_way_to_a_reboot(commands: Commands) -> None:
    dispatcher = Dispatcher(commands, FakeBroker())
    older = dispatcher.issue(made_of(a_reboot(1)))
    report = dispatcher.issue(made_of(ReportNowCommand(**common(2, 1), command="report-now")))
    for number in range(3, 33):  # more than one look would find, were it to look at the newest alone
        retry = RetryApplicationCommand(**common(number, 2), command="retry-application", application="web")
        commands.create(made_of(retry))

    newer = dispatcher.issue(made_of(a_reboot(40, 3)))

    assert stored(commands, older.id).inferred == Inferred(State.SUPERSEDED, "newer-reboot", newer.issued_at)
    assert stored(commands, report.id).inferred is None
    assert stored(commands, newer.id).inferred is None


def test_a_result_tells_the_command_as_it_is_then_and_what_it_is_part_of(commands: Commands) -> None:
    made = commands.create(made_of(a_reboot(), part_of=PART_OF, when_online=True))
    result = CommandResult(id=made.id, state=State.SUCCEEDED, at=NOW, boot_id="new")

    moved = commands.apply_result("robot-7", result, NOW)

    assert moved is not None
    assert (moved.part_of, moved.when_online, moved.state) == (PART_OF, True, State.SUCCEEDED)
    assert moved == stored(commands, made.id)
    assert commands.apply_result("robot-7", result, NOW) is None


def test_a_command_that_is_delivered_after_it_was_called_expired_comes_up_again(commands: Commands) -> None:
    clock = Clock()
    made = commands.create(made_of(a_reboot()))
    clock.advance(60 + 5 * 60 + 1)
    assert commands.infer_due(clock.now) == 1

    commands.apply_result("robot-7", CommandResult(id=made.id, state=State.DELIVERED, at=NOW), clock.now)

    assert stored(commands, made.id).inferred is None
    assert commands.infer_due(clock.now) == 1
    assert commands.infer_due(clock.now) == 0
    inferred = stored(commands, made.id).inferred
    assert inferred is not None
    assert (inferred.state, inferred.code) == (State.EXPIRED, "no-answer")


def test_a_reboot_that_the_version_before_wrote_is_read_and_expires(table: Any, commands: Commands) -> None:
    made = commands.create(made_of(a_reboot(force=True)))
    key = {"device": {"S": "robot-7"}, "id": {"S": made.id}}
    table.update_item(
        TableName=COMMANDS,
        Key=key,
        UpdateExpression="SET #force = :true REMOVE #parameters, part_of, when_online",
        ExpressionAttributeNames={"#force": "force", "#parameters": "parameters"},
        ExpressionAttributeValues={":true": {"BOOL": True}},
    )

    assert stored(commands, made.id).message() == made.message()
    assert commands.infer_due(NOW + timedelta(hours=1)) == 1
