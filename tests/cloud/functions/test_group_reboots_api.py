"""Group reboots as an operator sees them, on tables in memory, with devices that do as they are told."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from cloud.aws.errors import Unavailable
from cloud.domain.audit_chain import Event
from cloud.domain.idempotency import KEPT_S
from cloud.services.wake_ups import wake_up
from cloud.tables.devices import Devices
from contract.commands import CommandState, RebootCommand
from contract.names import identifier
from tests.support.cloud.api import body_of
from tests.support.cloud.devices import Calls
from tests.support.cloud.emf import emitted
from tests.support.cloud.group_rebooting import CANCEL, GET, GROUP, GroupRebootHarness, a_harness

State = CommandState


@pytest.fixture
def harness(table: Any) -> GroupRebootHarness:
    return a_harness(table)


def test_a_group_is_rebooted_one_device_after_the_other_and_each_step_can_be_read(
    harness: GroupRebootHarness,
) -> None:
    harness.enrol("robot-1", "robot-2", "robot-3")
    answer = harness.post(body={"reason": "update", "force": True, "expires_in_s": 60})

    body = body_of(answer)
    reboot = body["id"]
    assert (answer["statusCode"], body["state"], body["requested_by"]) == (202, "SUBMITTED", "ada")
    assert answer["headers"]["location"] == f"/groups/line-3/reboots/{reboot}"
    assert harness.broker.published == []
    harness.pump()
    ((topic, payload),) = harness.broker.published
    command = RebootCommand.from_json(payload)
    assert topic == "cmd/fleetgrass/robot-1/reboot/req"
    assert (command.reason, command.requested_by, command.force) == ("update", "ada", True)
    assert (command.expires_at - command.issued_at).total_seconds() == 60
    entry = harness.commands.get("robot-1", command.id)
    assert entry is not None
    assert entry.part_of == reboot

    for number in (1, 2, 3):
        harness.clock.advance(10)
        assert harness.states(reboot)[f"robot-{number}"] == "IN_FLIGHT"
        harness.says(f"robot-{number}", State.IN_PROGRESS)
        assert harness.queue.bodies == []  # nothing to look at yet
        harness.says(f"robot-{number}", State.SUCCEEDED)
        harness.pump()

    read = harness.get(reboot)
    assert (read["state"], read["progress"], read["stopped_by"]) == ("SUCCEEDED", 1.0, None)
    assert read["counts"] == {
        "total": 3, "not_started": 0, "in_flight": 0, "succeeded": 3, "failed": 0, "skipped": 0,
    }  # fmt: skip
    assert (read["started_at"], read["ended_at"]) == ("2026-11-22T12:00:00Z", "2026-11-22T12:00:30Z")
    assert [member["started_at"][-4:-1] for member in read["members"]] == [":00", ":10", ":20"]


def test_a_failure_stops_it_and_is_told_with_its_code_and_its_command(
    harness: GroupRebootHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.enrol("robot-1", "robot-2", "robot-3")
    reboot = harness.started(max_concurrent=2)
    harness.pump()
    harness.says("robot-2", State.REJECTED, code="reboot-budget")
    harness.pump()
    assert harness.get(reboot)["state"] == "STOPPING"
    harness.says("robot-1", State.SUCCEEDED)
    harness.pump()

    read = harness.get(reboot)
    assert (read["state"], read["stopped_by"]) == ("FAILED", "failures")
    (failure,) = read["failures"]
    (command,) = harness.commanded["robot-2"]
    assert (failure["device"], failure["code"], failure["command"]) == ("robot-2", "reboot-budget", command)
    assert emitted(capsys)["group_reboots_stopped"] == [1]  # when it stopped, and not again when it ended
    assert harness.states(reboot) == {"robot-1": "SUCCEEDED", "robot-2": "FAILED", "robot-3": "NOT_STARTED"}


def test_a_group_that_emptied_meanwhile_fails_and_wakes_somebody_too(
    harness: GroupRebootHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    class Nobody(Devices):
        def names_after(self, *_: Any) -> tuple[list[str], bool]:
            return [], False

    harness.enrol("robot-1")
    reboot = harness.started()

    replace(harness.advance, devices=Nobody(harness.dynamodb, "")).advance(reboot)

    read = harness.get(reboot)
    assert (read["state"], read["stopped_by"]) == ("FAILED", "empty-group")
    assert emitted(capsys)["group_reboots_stopped"] == [1]


def test_a_device_that_is_not_there_is_skipped_by_name(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1", online=False)
    harness.enrol("robot-2")
    reboot = harness.started()
    harness.pump()
    harness.says("robot-2", State.SUCCEEDED)
    harness.pump()
    read = harness.get(reboot)
    assert (read["state"], read["counts"]["skipped"]) == ("SUCCEEDED", 1)
    assert read["members"][0] | {"changed_at": None} == {
        "device": "robot-1", "state": "SKIPPED", "code": "device-unknown", "changed_at": None,
    }  # fmt: skip


def test_silence_is_concluded_by_the_sweep_and_a_late_word_is_taken_over(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1", "robot-2")
    reboot = harness.started(stop_after_failures=2)
    harness.pump()
    assert harness.sweep() == 1
    harness.pump()
    assert harness.states(reboot)["robot-1"] == "IN_FLIGHT"
    harness.clock.advance(20 * 60)
    harness.sweep()
    harness.pump()
    (failure,) = harness.get(reboot)["failures"]
    assert (failure["code"], failure["inferred"]) == ("no-answer", True)
    assert harness.states(reboot)["robot-2"] == "IN_FLIGHT"

    harness.says("robot-1", State.SUCCEEDED)
    harness.says("robot-2", State.SUCCEEDED)
    harness.pump()

    read = harness.get(reboot)
    assert (read["state"], read["failures"], read["counts"]["succeeded"]) == ("SUCCEEDED", [], 2)
    assert harness.sweep() == 0


def test_a_cancelled_one_says_what_cannot_be_called_back_and_awaits_it(
    harness: GroupRebootHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.enrol("robot-1", "robot-2")
    reboot = harness.started()
    harness.pump()

    answer = harness.cancel(reboot, subject="grace")

    body = body_of(answer)
    assert (answer["statusCode"], body["state"], body["cancelled_by"]) == (202, "STOPPING", "grace")
    assert "robot-1" in body["warnings"][0]
    harness.pump()
    assert harness.cancel(reboot)["statusCode"] == 202
    harness.says("robot-1", State.SUCCEEDED)
    harness.pump()
    read = harness.get(reboot)
    assert (read["state"], read["stopped_by"]) == ("CANCELLED", "cancel")
    assert harness.states(reboot) == {"robot-1": "SUCCEEDED", "robot-2": "NOT_STARTED"}
    again = harness.cancel(reboot)
    assert (again["statusCode"], body_of(again)["code"]) == (409, "group-reboot-ended")
    assert "group_reboots_stopped" not in emitted(capsys)  # somebody wanted it: nobody is woken


def test_a_cancelled_one_is_audited_with_what_it_changed_and_a_reason_if_there_is_one(
    harness: GroupRebootHarness, audited: list[Event]
) -> None:
    harness.enrol("robot-1")
    reboot = harness.started()
    harness.pump()
    del audited[:]

    harness.cancel(reboot, body={"reason": "enough"})
    harness.cancel(reboot)

    assert [(entry.status, entry.reason, entry.before, entry.after) for entry in audited] == [
        (202, "enough", {"state": "RUNNING"}, {"state": "STOPPING"}),
        (202, None, {}, {}),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"typo": 1, NaN', "invalid-body"), ('{"reason": NaN}', "invalid-body"), (" ", "invalid-body"),
        ('{"typo": 1}', "invalid-field"), ('{"reason": ""}', "invalid-field"), ("[]", "invalid-field"),
    ],
)  # fmt: skip
def test_a_wrong_body_cancels_nothing(harness: GroupRebootHarness, text: str, code: str) -> None:
    harness.enrol("robot-1")
    reboot = harness.started()

    answer = harness.cancel(reboot, text=text)

    assert (answer["statusCode"], body_of(answer)["code"]) == (400, code)
    assert harness.get(reboot)["state"] == "SUBMITTED"


def test_one_that_is_cancelled_before_anybody_looked_starts_nothing(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1", "robot-2")
    reboot = harness.started()
    assert body_of(harness.cancel(reboot))["warnings"] == []
    harness.pump()
    assert harness.broker.published == []
    assert (harness.get(reboot)["state"], harness.get(reboot)["counts"]["not_started"]) == ("CANCELLED", 2)


def test_a_group_has_one_at_a_time_and_the_next_when_that_is_done(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1")
    harness.enrol("robot-9", group="line-4")
    reboot = harness.started()

    second = harness.post()

    problem = body_of(second)
    assert (second["statusCode"], problem["code"], problem["group_reboot"]) == (
        409,
        "group-reboot-running",
        reboot,
    )
    assert harness.post("line-4")["statusCode"] == 202
    harness.pump()
    harness.says("robot-1", State.SUCCEEDED)
    harness.pump()
    assert harness.post()["statusCode"] == 202


def test_the_same_key_is_the_same_group_reboot_and_the_same_answer(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1")
    headers = {"Idempotency-Key": "k1"}
    first = harness.post(headers=headers)
    harness.pump()
    assert harness.post(headers=headers) == first
    other = harness.post(headers=headers, body={"reason": "other"})
    assert (other["statusCode"], body_of(other)["code"]) == (422, "idempotency-key-reused")
    assert harness.get(body_of(first)["id"])["state"] == "RUNNING"


@pytest.mark.parametrize("reason", ["stuck", "another"])
def test_a_key_is_free_again_after_its_day_though_its_row_is_still_there(
    harness: GroupRebootHarness, reason: str
) -> None:
    harness.enrol("robot-1")
    headers = {"Idempotency-Key": "k1"}
    first = body_of(harness.post(headers=headers, body={"reason": "stuck"}))["id"]
    harness.pump()
    harness.says("robot-1", State.SUCCEEDED)
    harness.pump()

    harness.clock.advance(KEPT_S)
    second = harness.post(headers=headers, body={"reason": reason})

    assert second["statusCode"] == 202
    assert body_of(second)["id"] != first
    assert harness.post(headers=headers, body={"reason": reason}) == second


def test_a_key_that_another_call_stored_meanwhile_gives_its_group_reboot(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1")
    headers = {"Idempotency-Key": "k1"}
    first = harness.post(headers=headers)
    look, looks = harness.reboots.by_idempotency_key, iter([None])
    harness.reboots.by_idempotency_key = lambda key, now: next(looks, look(key, now))  # type: ignore[method-assign, assignment]
    assert harness.post(headers=headers) == first


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "reason"),
        ({"reason": "x", "max_concurrent": 0}, "max_concurrent"),
        ({"reason": "x", "max_concurrent": 101}, "max_concurrent"),
        ({"reason": "x", "max_concurrent": "2"}, "max_concurrent"),
        ({"reason": "x", "stop_after_failures": 0}, "stop_after_failures"),
        ({"reason": "x", "stop_after_failures": 101}, "stop_after_failures"),
        ({"reason": "x", "stop_after": 1}, "stop_after"),
        ({"reason": "x", "expires_in_s": 0}, "expires_in_s"),
    ],
)
def test_a_wrong_wish_is_400_and_names_the_field(
    harness: GroupRebootHarness, body: object, named: str
) -> None:
    harness.enrol("robot-1")
    answer = harness.post(body=body)
    assert (answer["statusCode"], body_of(answer)["detail"].split(":")[0]) == (400, named)
    assert harness.rows() == []


def test_a_group_without_devices_is_404_and_no_name_of_a_group_is_400(harness: GroupRebootHarness) -> None:
    answer = harness.post("line-99")
    assert (answer["statusCode"], body_of(answer)["code"]) == (404, "group-not-found")
    assert harness.post("line 3")["statusCode"] == 400
    assert harness.rows() == []


def test_a_reboot_is_404_where_it_is_not(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1")
    reboot = harness.started()
    unknown = identifier("reboot", unix_ms=1, random80=1)
    for route in (GET, CANCEL):
        assert harness.call(route, {"group": GROUP, "reboot": unknown})["statusCode"] == 404
        assert harness.call(route, {"group": "line-4", "reboot": reboot})["statusCode"] == 404
        assert harness.call(route, {"group": GROUP, "reboot": "head"})["statusCode"] == 400


def test_a_role_reaches_its_own_group_only(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1")
    stranger, ours = "Fleet.Operator:line-4", "Fleet.Operator:line-3"
    assert harness.post(roles=stranger)["statusCode"] == 403
    assert harness.post("line-99", roles=stranger)["statusCode"] == 403  # not even whether it exists
    reboot = body_of(harness.post(roles=ours))["id"]
    path = {"group": GROUP, "reboot": reboot}
    for route in (GET, CANCEL):
        answer = harness.call(route, path, roles=stranger)
        assert (answer["statusCode"], body_of(answer)["code"]) == (403, "group-not-allowed")
        assert harness.call(route, path, roles=ours)["statusCode"] < 300
    assert harness.call(CANCEL, path, roles="Fleet.Reader:line-3")["statusCode"] == 403


def test_members_come_page_by_page(harness: GroupRebootHarness) -> None:
    names = [f"robot-{number}" for number in range(5)]
    harness.enrol(*names)
    reboot = harness.started()
    harness.pump()
    seen: list[str] = []
    query = {"limit": "2"}
    for _ in range(3):
        page = harness.get(reboot, query=query)
        seen += [member["device"] for member in page["members"]]
        query = {"limit": "2", "cursor": page["cursor"] or ""}
    assert (seen, page["cursor"]) == (names, None)
    for wrong in ({"limit": "0"}, {"cursor": "!"}, {"page": "1"}):
        answer = harness.call(GET, {"group": GROUP, "reboot": reboot}, query=wrong)
        assert answer["statusCode"] == 400


def test_what_the_broker_did_not_take_is_sent_by_the_next_sweep_and_fails_nobody(
    harness: GroupRebootHarness,
) -> None:
    harness.enrol("robot-1")
    reboot = harness.started()
    harness.broker.broken = Unavailable("Publish: timeout")
    assert harness.pump() == []
    assert harness.states(reboot) == {"robot-1": "STARTING"}
    harness.broker.broken = None
    harness.sweep()
    harness.pump()
    assert harness.states(reboot) == {"robot-1": "IN_FLIGHT"}
    assert len(harness.commanded["robot-1"]) == 1


def test_a_wake_up_that_could_not_be_sent_is_made_good_by_the_sweep(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1")
    harness.queue.broken = Unavailable("SendMessage: timeout")
    reboot = harness.started()
    harness.queue.broken = None
    assert harness.sweep() == 1
    harness.pump()
    assert harness.states(reboot) == {"robot-1": "IN_FLIGHT"}


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", '{"group_reboot": 7}', '{"group_reboot": "head"}'])
def test_what_is_no_wake_up_is_counted_and_never_poisons_the_queue(
    harness: GroupRebootHarness, body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.queue.send(body)
    assert harness.pump() == []
    assert '"malformed_messages":1' in capsys.readouterr().out


def test_a_wake_up_about_nothing_does_nothing(harness: GroupRebootHarness) -> None:
    wake_up(harness.queue, identifier("reboot", unix_ms=1, random80=1))
    assert harness.pump() == []
    assert harness.rows() == []


def test_a_table_that_does_not_answer_gives_the_message_back_and_the_log_says_which_reboot(
    harness: GroupRebootHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.enrol("robot-1")
    reboot = harness.started()

    def refuse(call: str) -> None:
        if call == "BatchGetItem":
            raise Unavailable("throttled")

    harness.dynamodb.before = refuse
    (message,) = harness.pump()
    (failed,) = [vars(record) for record in caplog.records if record.levelname == "ERROR"]
    assert (failed["group_reboot"], failed["message_id"]) == (reboot, message)


def test_two_who_look_at_the_same_time_command_each_device_once(harness: GroupRebootHarness) -> None:
    harness.enrol("robot-1", "robot-2", "robot-3")
    reboot = harness.started(max_concurrent=2)
    inside: list[bool] = []

    def somebody_else_looks() -> None:
        if not inside:
            inside.append(True)
            assert harness.advance.advance(reboot)

    harness.broker.before = somebody_else_looks
    harness.pump()
    assert inside
    for robot in ("robot-1", "robot-2"):
        harness.says(robot, State.SUCCEEDED)
    inside.clear()
    harness.pump()
    assert inside
    harness.says("robot-3", State.SUCCEEDED)
    harness.pump()
    assert harness.get(reboot)["counts"]["succeeded"] == 3
    assert [len(commands) for commands in harness.commanded.values()] == [1, 1, 1]


def test_a_step_that_was_stored_though_nobody_confirmed_it_is_not_taken_twice(
    harness: GroupRebootHarness,
) -> None:
    harness.enrol("robot-1", "robot-2")
    reboot = harness.started()

    def unconfirmed(call: str) -> None:
        if call == "TransactWriteItems":
            raise Unavailable("TransactWriteItems: timeout")

    harness.dynamodb.after = unconfirmed
    for _ in range(3):
        with suppress(Unavailable):  # of a command, whose creation is not confirmed either
            harness.advance.advance(reboot)
    harness.dynamodb.after = lambda call: None
    harness.pump()
    assert harness.states(reboot) == {"robot-1": "IN_FLIGHT", "robot-2": "WAITING"}
    assert len(harness.commanded["robot-1"]) == 1


def test_a_large_group_is_listed_in_several_steps_and_a_wave_costs_what_it_costs_in_a_small_one(
    harness: GroupRebootHarness,
) -> None:
    calls = Calls()
    harness.dynamodb.before = calls.append
    costs: list[list[str]] = []
    for group, size in (("small", 3), ("large", 101)):
        names = [f"{group}-{number:04}" for number in range(size)]
        harness.enrol(*names[:2], group=group)
        harness.enrol(*names[2:], group=group, online=False)  # their turn does not come
        reboot = body_of(harness.post(group))["id"]
        harness.pump()
        head = harness.reboots.get(reboot)
        assert head is not None
        assert (head.total, len(head.active)) == (size, 1)
        calls.clear()
        harness.says(names[0], State.SUCCEEDED)
        harness.pump()
        costs.append(list(calls))
    assert costs[0] == costs[1]
    assert len(costs[0]) < 20


def test_rows_of_what_ended_know_when_they_may_vanish_and_the_group_is_free(
    harness: GroupRebootHarness,
) -> None:
    harness.enrol("robot-1")
    reboot = harness.started()
    harness.pump()
    assert not [row for row in harness.rows() if row["id"]["S"] == "head" and "delete_at" in row]
    harness.says("robot-1", State.SUCCEEDED)
    harness.pump()
    assert harness.get(reboot)["state"] == "SUCCEEDED"
    assert all("delete_at" in row for row in harness.rows())
    assert not [row for row in harness.rows() if "due_at" in row]
