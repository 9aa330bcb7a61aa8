"""Reboot, its ledger and how it is read, on DynamoDB in memory."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.auth.routes import ROUTES
from cloud.aws.errors import Unavailable
from cloud.domain.commands import command_ledger
from cloud.domain.commands.command import Command
from cloud.domain.idempotency import KEPT_S, Idempotency
from cloud.tables.commands import Commands
from contract.commands import CommandResult, CommandState, RebootCommand
from contract.names import identifier
from tests.support.cloud.api import COMMANDS, NOW, FakeDevices, Watched, a_device, body_of
from tests.support.cloud.commanding import REBOOT, Api
from tests.support.cloud.emf import emitted
from tests.support.cloud.template import granted

State = CommandState


def test_a_reboot_is_in_the_ledger_before_it_is_on_its_way(api: Api) -> None:
    seen: list[int] = []
    api.broker.before = lambda: seen.append(len(api.rows()))

    answer = api.reboot(body={"reason": "stuck", "force": True, "expires_in_s": 60})

    body = body_of(answer)
    assert answer["statusCode"] == 202
    assert answer["headers"]["location"] == f"/devices/robot-7/commands/{body['id']}"
    assert seen == [1]
    ((topic, payload),) = api.broker.published
    message = RebootCommand.from_json(payload)
    assert topic == "cmd/fleetgrass/robot-7/reboot/req"
    assert (message.id, message.requested_by, message.reason, message.force) == (
        body["id"],
        "ada",
        "stuck",
        True,
    )
    assert message.expires_at == NOW + timedelta(seconds=60)
    assert body_of(api.get(body["id"]))["state"] == "PENDING"


def test_the_proof_is_in_the_answer_once_the_device_gave_it(api: Api) -> None:
    command = body_of(api.reboot())["id"]
    api.clock.advance(1)
    assert api.says(command, State.IN_PROGRESS, boot_id_before="old")
    api.clock.advance(30)
    assert api.says(command, State.SUCCEEDED, boot_id_before="old", boot_id="new", down_s=21.5)

    body = body_of(api.get(command))
    assert (body["state"], body["inferred"]) == ("SUCCEEDED", False)
    assert (body["boot_id_before"], body["boot_id"], body["down_s"]) == ("old", "new", 21.5)
    assert [t["state"] for t in body["transitions"]] == ["PENDING", "IN_PROGRESS", "SUCCEEDED"]
    assert body["changed_at"] == "2026-11-22T12:00:31Z"


def test_an_unknown_device_is_404_and_nothing_is_written(api: Api) -> None:
    answer = api.reboot("robot-8")
    assert (answer["statusCode"], body_of(answer)["code"]) == (404, "device-not-found")
    assert api.rows() == []


def test_an_offline_device_is_409_with_since_when(api: Api) -> None:
    since = NOW - timedelta(minutes=5)
    api.devices = FakeDevices([a_device(connected=False, connected_since=None, offline_since=since)])

    problem = body_of(answer := api.reboot())

    assert (answer["statusCode"], problem["code"]) == (409, "device-offline")
    assert (problem["state"], problem["since"]) == ("offline", "2026-11-22T11:55:00Z")
    assert api.broker.published == []


def test_a_device_that_was_never_seen_is_409(api: Api) -> None:
    api.devices = FakeDevices([a_device(connected=None, last_report_at=None, stale_at=None)])
    problem = body_of(answer := api.reboot())
    assert (answer["statusCode"], problem["code"], problem["state"]) == (409, "device-offline", "unknown")


def test_a_stale_device_gets_its_command_and_the_operator_a_warning(api: Api) -> None:
    api.devices = FakeDevices([a_device(stale_at=NOW - timedelta(minutes=1))])
    answer = api.reboot()
    assert answer["statusCode"] == 202
    assert "may not act" in body_of(answer)["warnings"][0]
    assert len(api.broker.published) == 1


def test_a_publish_that_fails_is_in_the_ledger_and_not_called_a_success(api: Api) -> None:
    api.broker.broken = Unavailable("Publish: timeout")

    problem = body_of(answer := api.reboot())

    assert (answer["statusCode"], problem["code"]) == (503, "not-sent")
    body = body_of(api.get(problem["command"]))
    assert (body["state"], body["code"], body["inferred"]) == ("FAILED", "not-sent", True)


def test_what_the_broker_did_not_take_is_sent_when_its_key_comes_again(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    api.broker.broken = Unavailable("Publish: timeout")
    command = body_of(api.reboot(headers=headers))["command"]
    assert api.reboot(headers=headers)["statusCode"] == 503
    api.broker.broken = None

    answer = api.reboot(headers=headers)

    assert (answer["statusCode"], body_of(answer)["id"]) == (202, command)
    ((_, payload),) = api.broker.published
    assert RebootCommand.from_json(payload).id == command
    assert body_of(api.get(command))["state"] == "PENDING"
    api.clock.advance(20 * 60)
    assert api.commands.infer_due(api.clock.now) == 1


def test_what_the_broker_never_took_stays_not_sent_once_it_expired(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    api.broker.broken = Unavailable("Publish: timeout")
    api.reboot(headers=headers)
    api.broker.broken = None
    api.clock.advance(15 * 60)
    assert body_of(api.reboot(headers=headers))["code"] == "not-sent"
    assert api.broker.published == []


def test_a_device_that_had_the_command_all_the_same_overrules_not_sent(api: Api) -> None:
    api.broker.broken = Unavailable("Publish: timeout")
    command = body_of(api.reboot())["command"]
    assert api.says(command, State.IN_PROGRESS)
    body = body_of(api.get(command))
    assert (body["state"], body["inferred"]) == ("IN_PROGRESS", False)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 257}, "reason"),
        ({"reason": 7}, "reason"),
        ({"reason": "x", "forse": True}, "forse"),
        ({"reason": "x", "force": "yes"}, "force"),
        ({"reason": "x", "expires_in_s": 0}, "expires_in_s"),
        ({"reason": "x", "expires_in_s": 7 * 24 * 3600 + 1}, "expires_in_s"),
        (["reason"], "body"),
    ],
)
def test_a_wrong_wish_is_400_and_names_the_field(api: Api, body: object, named: str) -> None:
    answer = api.reboot(body=body)
    assert answer["statusCode"] == 400
    assert body_of(answer)["detail"].startswith(named)
    assert api.rows() == []


def test_the_same_key_with_the_same_wish_reboots_once(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = api.reboot(headers=headers)
    api.devices = FakeDevices([a_device(connected=False, offline_since=NOW - timedelta(hours=1))])

    again = api.reboot(headers=headers)

    assert again == first
    assert len(api.rows()) == 2  # the command and its key
    assert len({RebootCommand.from_json(payload).id for _, payload in api.broker.published}) == 1
    other = api.reboot(headers=headers, body={"reason": "other"})
    assert (other["statusCode"], body_of(other)["code"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize("reason", ["stuck", "another"])
def test_a_key_is_free_again_after_its_day_though_its_row_is_still_there(api: Api, reason: str) -> None:
    headers, body = {"Idempotency-Key": "k1"}, {"reason": reason}
    first = api.reboot(headers=headers)
    api.clock.advance(KEPT_S - 1)
    assert api.reboot(headers=headers) == first

    api.clock.advance(1)
    second = api.reboot(headers=headers, body=body)

    assert second["statusCode"] == 202
    assert body_of(second)["id"] != body_of(first)["id"]
    assert RebootCommand.from_json(api.broker.published[-1][1]).id == body_of(second)["id"]
    assert api.reboot(headers=headers, body=body) == second


class FindsItTooLate(Commands):
    """Sees no key at its first look: the other call with the same key is not written yet."""

    looks = 0

    def by_idempotency_key(self, idempotency: Idempotency, now: datetime) -> Command | None:
        self.looks += 1
        return None if self.looks == 1 else super().by_idempotency_key(idempotency, now)


def test_a_race_of_two_calls_with_one_key_makes_one_command(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = api.reboot(headers=headers)
    api.commands = FindsItTooLate(api.table, COMMANDS)

    again = api.reboot(headers=headers)

    assert body_of(again)["id"] == body_of(first)["id"]
    assert len(api.rows()) == 2
    assert body_of(api.get(body_of(first)["id"]))["state"] == "PENDING"


class Died(BaseException):
    """The process ends here."""


def test_a_call_that_died_before_it_sent_is_made_good_by_the_next_with_its_key(api: Api) -> None:
    def die() -> None:
        raise Died

    headers = {"Idempotency-Key": "k1"}
    api.broker.before = die
    with pytest.raises(Died):
        api.reboot(headers=headers)
    api.broker.before = lambda: None

    answer = api.reboot(headers=headers)

    ((_, payload),) = api.broker.published
    assert answer["statusCode"] == 202
    assert RebootCommand.from_json(payload).id == body_of(answer)["id"]


def test_a_repeated_key_sends_nothing_once_the_device_answered_or_time_ran_out(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    command = body_of(api.reboot(headers=headers))["id"]
    api.says(command, State.IN_PROGRESS)
    assert api.reboot(headers=headers)["statusCode"] == 202
    late = api.reboot(headers={"Idempotency-Key": "k2"})
    api.clock.advance(15 * 60)
    assert api.reboot(headers={"Idempotency-Key": "k2"}) == late
    assert len(api.broker.published) == 2


def test_a_newer_reboot_supersedes_one_that_has_not_started(api: Api) -> None:
    first = body_of(api.reboot())["id"]
    api.clock.advance(1)
    started = body_of(api.reboot())["id"]
    api.says(started, State.IN_PROGRESS)
    api.clock.advance(1)
    newest = body_of(api.reboot())["id"]

    states = {c: body_of(api.get(c))["state"] for c in (first, started, newest)}
    assert states == {first: "SUPERSEDED", started: "IN_PROGRESS", newest: "PENDING"}


def test_silence_is_read_before_the_sweep_stores_it_and_after_and_counted_once(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    command = body_of(api.reboot(body={"reason": "x", "expires_in_s": 60}))["id"]
    api.clock.advance(60 + 5 * 60 - 1)
    assert body_of(api.get(command))["state"] == "PENDING"
    assert api.commands.infer_due(api.clock.now) == 0

    api.clock.advance(1)
    read = body_of(api.get(command))
    assert (read["state"], read["code"], read["inferred"]) == ("EXPIRED", "no-answer", True)
    assert api.commands.infer_due(api.clock.now) == 1
    assert api.commands.infer_due(api.clock.now) == 0
    assert body_of(api.get(command)) == read
    assert emitted(capsys) == {"commands_no_answer": [1]}


def test_of_two_sweeps_that_conclude_the_same_one_counts_it(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    read = api.commands.get("robot-7", body_of(api.reboot())["id"])
    assert read is not None
    concluded = command_ledger.Inferred(State.EXPIRED, "no-answer", api.clock.now)

    assert [api.commands.conclude(read, concluded) for _ in range(2)] == [True, False]

    assert emitted(capsys) == {"commands_no_answer": [1]}


def test_a_reboot_without_proof_fails_until_the_proof_comes(
    api: Api, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    command = body_of(api.reboot())["id"]
    api.clock.advance(10)
    api.says(command, State.IN_PROGRESS)
    api.clock.advance(15 * 60)
    assert api.commands.infer_due(api.clock.now) == 1
    assert body_of(api.get(command))["code"] == "no-proof"
    assert emitted(capsys) == {"commands_no_proof": [1]}
    assert f"command concluded: device=robot-7 command={command} code=no-proof" in caplog.messages

    assert api.says(command, State.SUCCEEDED, boot_id="new")
    body = body_of(api.get(command))
    assert (body["state"], body["inferred"]) == ("SUCCEEDED", False)


@pytest.mark.parametrize("apart_s", [60, 0], ids=["a minute apart", "in the same millisecond"])
def test_a_word_that_comes_after_a_later_one_takes_its_place_in_the_history_and_nothing_else(
    api: Api, apart_s: float
) -> None:
    """A standard queue hands on in any order, and the steps of a proof are evidence."""
    command = body_of(api.reboot())["id"]
    said_at = api.clock.now
    started = CommandResult(id=command, state=State.IN_PROGRESS, at=NOW, boot_id_before="old")
    api.clock.advance(apart_s)
    api.says(command, State.SUCCEEDED, boot_id="new")
    done = body_of(api.get(command))

    for _ in range(2):
        assert api.commands.apply_result("robot-7", started, said_at) is None
    read = body_of(api.get(command))

    assert [step["state"] for step in read["transitions"]] == ["PENDING", "IN_PROGRESS", "SUCCEEDED"]
    assert {name: read[name] for name in read if name != "transitions"} == {
        name: done[name] for name in done if name != "transitions"
    }
    assert api.commands.infer_due(api.clock.now) == 0


@pytest.mark.parametrize(
    "order", list(itertools.permutations([State.DELIVERED, State.IN_PROGRESS, State.FAILED]))
)
def test_who_records_a_word_has_the_rights_for_it_in_whatever_order_the_words_come(
    api: Api, order: tuple[State, ...]
) -> None:
    command = body_of(api.reboot())["id"]
    asked: set[str] = set()
    heard_by = Commands(Watched(api.table, before=asked.add), COMMANDS)

    for state in (*order, *order):
        heard_by.apply_result("robot-7", CommandResult(id=command, state=state, at=NOW), api.clock.now)

    assert asked == {"UpdateItem", "GetItem"}
    assert asked <= granted("record-report", "CommandsTable")


def test_a_result_for_another_devices_command_changes_nothing(api: Api) -> None:
    command = body_of(api.reboot())["id"]
    result = CommandResult(id=command, state=State.SUCCEEDED, at=NOW)
    assert not api.commands.apply_result("robot-8", result, NOW)
    assert len(api.rows()) == 1
    assert body_of(api.get(command))["state"] == "PENDING"


def test_a_command_is_404_where_it_is_not(api: Api) -> None:
    unknown = identifier("cmd", unix_ms=1, random80=1)
    assert api.get(unknown)["statusCode"] == 404
    assert api.get("cmd-1")["statusCode"] == 400
    command = body_of(api.reboot())["id"]
    assert api.get(command, "robot-8")["statusCode"] == 404


def test_a_caller_of_another_group_neither_reboots_nor_reads(api: Api) -> None:
    command = body_of(api.reboot())["id"]
    for answer in (
        api.reboot(roles="Fleet.Operator:line-4"),
        api.get(command, roles="Fleet.Reader:line-4"),
    ):
        assert (answer["statusCode"], body_of(answer)["code"]) == (403, "group-not-allowed")
    assert api.get(command, roles="Fleet.Reader:line-3")["statusCode"] == 200
    assert len(api.broker.published) == 1


@pytest.mark.parametrize("roles", ["Fleet.Reader", "Fleet.Reader:line-4"])
def test_a_command_of_a_device_that_is_not_there_is_as_unknown_as_the_device(api: Api, roles: str) -> None:
    command = body_of(api.reboot())["id"]
    for answer in (api.get(command, "ghost", roles=roles), api.page("ghost", roles)):
        assert (answer["statusCode"], body_of(answer)["code"]) == (404, "device-not-found")


def test_a_device_whose_clock_is_at_the_end_of_time_is_still_read(api: Api) -> None:
    command = body_of(api.reboot())["id"]
    end_of_time = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    api.commands.apply_result(
        "robot-7", CommandResult(id=command, state=State.DELIVERED, at=end_of_time), NOW
    )
    assert body_of(api.get(command))["transitions"][-1]["device_time"].startswith("9999-12-31T23:59:59.999")


def test_rows_know_when_they_may_vanish(api: Api) -> None:
    api.reboot(headers={"Idempotency-Key": "k"}, body={"reason": "x", "expires_in_s": 60})
    gone = sorted(int(row["delete_at"]["N"]) for row in api.rows())
    at = int(NOW.timestamp())
    assert gone == [at + 24 * 3600, at + 60 + 30 * 24 * 3600]


RANKS = {State.PENDING: 0, State.DELIVERED: 1, State.IN_PROGRESS: 2}
EVENTS = st.lists(
    st.one_of(st.sampled_from(list(State)), st.sampled_from([1.0, 400.0, 1000.0])), min_size=1, max_size=8
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_whatever_comes_in_whatever_order_the_devices_word_never_goes_back(
    api: Api, events: list[CommandState | float]
) -> None:
    command = body_of(api.reboot())["id"]
    api.broker.published.clear()
    rank, finals = 0, 0
    said: set[State] = set()
    before = body_of(api.get(command))
    for event in events:
        if isinstance(event, float):
            api.clock.advance(event)
            api.commands.infer_due(api.clock.now)
            before = body_of(api.get(command))
            continue
        accepted = api.says(command, event)
        after = body_of(api.get(command))
        assert (accepted is not None) == (RANKS.get(event, 3) > rank)
        if accepted:
            rank = RANKS.get(event, 3)
            finals += event.final
            # DELIVERED after its expiry is at once an inferred EXPIRED again; every other word stands.
            assert after["state"] == event.value or (event is State.DELIVERED and after["inferred"])
        else:
            assert after | {"transitions": ...} == before | {"transitions": ...}
        words = [step["state"] for step in after["transitions"] if step["by"] == "device"]
        assert len(words) == len(set(words))
        said.add(event)
        assert {word for word in said if not word.final} - {State.PENDING} <= set(words)
        before = after
    assert finals <= 1


@given(st.sampled_from(list(State)), st.integers(0, 10_000))
def test_silence_says_something_only_of_what_is_not_final(state: CommandState, seconds: int) -> None:
    expires = NOW + timedelta(seconds=60)
    said = command_ledger.infer(
        state, expires_at=expires, changed_at=NOW, now=NOW + timedelta(seconds=seconds)
    )
    due = {State.PENDING: 360, State.DELIVERED: 360, State.IN_PROGRESS: 900}.get(state)
    assert (said is not None) == (due is not None and seconds >= due)


def test_the_largest_reboot_fits_a_command() -> None:
    message = RebootCommand(
        id=identifier("cmd", unix_ms=1, random80=1),
        issued_at=NOW,
        expires_at=NOW + timedelta(days=7),
        requested_by="😀" * 128,
        reason="😀" * 256,
        force=True,
    )
    assert len(message.to_json()) < 4500
    assert json.loads(message.to_json())["v"] == 1
    assert ROUTES[REBOOT].operation == "reboot-device"
