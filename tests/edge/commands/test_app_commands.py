"""Commands that leave the machine up, as the cloud sees them."""

import json

import pytest

from contract import topics
from contract.commands import (
    Bundle,
    CollectLogsCommand,
    CommandState,
    ReportNowCommand,
    RestartApplicationCommand,
    RetryApplicationCommand,
    RotateSecretsCommand,
)
from contract.defaults import REPORT_MAX_BYTES
from edge.containers.execute.operator_actions import ActionRefusal
from edge.events import Collected, MessageReceived
from tests.support.edge.fakes import THING, AgentHarness, until_killed

SECRET_URL = "https://bucket.s3.amazonaws.com/bundle?X-Amz-Signature=5ec4e7"
IN_PROGRESS, SUCCEEDED, FAILED = CommandState.IN_PROGRESS, CommandState.SUCCEEDED, CommandState.FAILED


def a_restart(harness: AgentHarness) -> RestartApplicationCommand:
    return harness.an_errand(RestartApplicationCommand, application="web")


def test_a_restart_succeeds_when_the_container_was_started_again() -> None:
    harness = AgentHarness()
    harness.start()
    command = a_restart(harness)

    harness.send(command)
    assert harness.states(command) == [IN_PROGRESS]
    harness.containers.restarts["web"](None)
    harness.turns()

    assert harness.states(command) == [IN_PROGRESS, SUCCEEDED]
    heard = [t for t, p in harness.link.published if t.endswith("/res")]
    assert set(heard) == {topics.command_result(THING, "restart-application")}


def test_a_restart_that_the_engine_did_not_do_fails_with_its_words() -> None:
    harness = AgentHarness()
    harness.start()
    command = a_restart(harness)
    harness.send(command)

    harness.containers.restarts["web"](ActionRefusal("engine-unavailable", "no answer"))
    harness.turns()

    last = harness.results(command)[-1]
    assert (last.state, last.code, last.message) == (FAILED, "engine-unavailable", "no answer")


@pytest.mark.parametrize("kind", [RestartApplicationCommand, RetryApplicationCommand, RotateSecretsCommand])
def test_what_cannot_be_done_now_is_rejected_by_its_rule(
    kind: type[RestartApplicationCommand | RetryApplicationCommand | RotateSecretsCommand],
) -> None:
    harness = AgentHarness()
    harness.start()
    harness.containers.refusal = ActionRefusal("update-in-progress", "it is being replaced")
    command = harness.an_errand(kind, application="web")

    harness.send(command)

    last = harness.results(command)[-1]
    assert (last.state, last.code) == (CommandState.REJECTED, "update-in-progress")


def test_a_retry_looks_at_the_containers_at_once() -> None:
    harness = AgentHarness()
    harness.start()
    passes = harness.containers.passes
    command = harness.an_errand(RetryApplicationCommand, application="web")

    harness.send(command)

    assert harness.containers.retried == ["web"]
    assert harness.states(command)[-1] is SUCCEEDED
    assert harness.containers.passes > passes


def test_a_rotation_goes_by_its_commands_id_so_that_it_happens_once() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.an_errand(RotateSecretsCommand, application="web")

    harness.send(command)
    harness.send(command)

    assert harness.containers.rotated == [("web", command.id)]
    assert harness.states(command)[-1] is SUCCEEDED
    heard = [t for t, p in harness.link.published if t.endswith("/res")]
    assert set(heard) == {topics.command_result(THING, "rotate-secrets")}


def test_a_report_is_sent_at_once_though_nothing_changed() -> None:
    harness = AgentHarness()
    harness.start()
    reports = len(harness.reports())
    command = harness.an_errand(ReportNowCommand)

    harness.send(command)

    assert len(harness.reports()) == reports + 1
    assert harness.states(command)[-1] is SUCCEEDED


def collect(harness: AgentHarness, **fields: str) -> list[str] | None:
    command = harness.an_errand(CollectLogsCommand, application="web", **fields)
    harness.send(command)
    last = harness.results(command)[-1]
    assert last.state is SUCCEEDED
    return last.log_lines


def test_the_last_lines_of_an_application_come_with_the_result() -> None:
    harness = AgentHarness()
    harness.start()
    harness.containers.said = ["one", "two", "three"]

    assert collect(harness) == ["one", "two", "three"]
    assert collect(harness, lines="2") == ["two", "three"]


def test_logs_that_are_too_long_lose_their_beginning_and_the_result_stays_within_the_wires_size() -> None:
    harness = AgentHarness()
    harness.start()
    harness.containers.said = [f'{n} "ü"\\' * 20 for n in range(400)]

    lines = collect(harness, lines="400")

    assert lines
    assert lines == harness.containers.said[-len(lines) :]
    sizes = [len(p) for t, p in harness.link.published if t.endswith("/res")]
    assert 5_000 < max(sizes) < REPORT_MAX_BYTES


def test_what_an_application_said_is_not_kept_once_it_was_told() -> None:
    harness = AgentHarness()
    harness.start()
    harness.containers.said = ["a line"]
    command = harness.an_errand(CollectLogsCommand, application="web")

    harness.link.broker_up = False
    harness.send(command)
    harness.start()
    harness.link.broker_up = True
    harness.turns(5.0)
    assert harness.results(command)[-1].log_lines == ["a line"]

    assert "a line" not in harness.state.files["commands.json"].decode()


def test_a_command_that_comes_again_answers_again_and_does_nothing() -> None:
    harness = AgentHarness()
    harness.start()
    command = a_restart(harness)
    harness.send(command)
    harness.containers.restarts.pop("web")(None)
    harness.turns()

    harness.send(command)
    harness.start()
    harness.send(command)

    assert harness.containers.restarts == {}
    assert harness.states(command)[-2:] == [SUCCEEDED, SUCCEEDED]


def test_an_expired_command_is_not_carried_out() -> None:
    harness = AgentHarness()
    harness.start()
    command = a_restart(harness)
    harness.clock.advance(1_000)

    harness.send(command)

    assert harness.containers.restarts == {}
    assert harness.states(command) == [CommandState.EXPIRED]


def test_a_command_waits_for_the_servers_time_even_through_a_restart_of_the_agent() -> None:
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()
    command = a_restart(harness)
    harness.send(command)
    assert harness.containers.restarts == {}

    harness.answers_time = True
    harness.start()
    harness.turns(1.0)

    assert list(harness.containers.restarts) == ["web"]


def test_a_restart_that_the_agents_end_cut_short_is_said_to_have_failed_and_not_begun_again() -> None:
    harness = AgentHarness()
    harness.start()
    command = a_restart(harness)
    harness.send(command)
    harness.containers.restarts.clear()

    harness.start()
    harness.send(command)

    assert harness.containers.restarts == {}
    last = harness.results(command)[-1]
    assert (last.state, last.code) == (FAILED, "interrupted")


def carry_out(harness: AgentHarness, command: RestartApplicationCommand) -> None:
    """Send a restart, and let the engine do what was begun."""
    harness.send(command)
    for ended in list(harness.containers.restarts.values()):
        ended(None)
    harness.turns()


def test_no_death_of_the_agent_makes_it_restart_an_application_twice_or_stay_silent() -> None:
    deaths, killed = 0, True
    while killed:
        harness = AgentHarness()
        harness.start()
        harness.fate.kill_after = len(harness.fate.effects) + deaths + 1
        command = a_restart(harness)
        killed = until_killed(lambda harness=harness, command=command: carry_out(harness, command))  # type: ignore[misc]
        begun = len(harness.containers.restarts)
        harness.containers.restarts.clear()
        harness.fate.kill_after = None
        harness.start()
        carry_out(harness, command)

        assert begun + len(harness.containers.restarts) <= 1
        assert harness.states(command)[-1].final
        deaths += killed
    assert deaths >= 4


@pytest.mark.parametrize("name", ["report-now", "reboot"])
def test_a_command_on_the_topic_of_another_is_no_command(name: topics.Command) -> None:
    harness = AgentHarness()
    harness.start()
    command = a_restart(harness)

    harness.deliver(MessageReceived(topics.command_request(THING, name), command.to_json()))

    assert (harness.results(), harness.containers.restarts) == ([], {})
    harness.turns(120)
    assert harness.reports()[-1].malformed_messages == 1


def test_nothing_is_carried_out_while_the_machine_is_about_to_go_down() -> None:
    harness = AgentHarness()
    harness.start()
    harness.send(harness.a_command())
    command = a_restart(harness)

    harness.send(command)

    assert harness.states(command) == [CommandState.REJECTED]
    assert harness.results(command)[0].code == "reboot-in-progress"


def test_a_reboot_may_follow_an_errand_that_has_not_ended() -> None:
    harness = AgentHarness()
    harness.start()
    harness.send(a_restart(harness))
    command = harness.a_command()

    harness.send(command)

    assert harness.machine.reboots == 1


def test_a_ledger_from_before_there_were_errands_is_read() -> None:
    harness = AgentHarness()
    harness.start()
    old = harness.a_command()
    harness.send(old)
    ledger = harness.ledger()
    for entry in ledger["entries"].values():
        entry.pop("command")
    harness.state.files["commands.json"] = json.dumps(ledger).encode()
    harness.power_cycle()

    assert harness.states(old)[-1] is SUCCEEDED


def a_collection(harness: AgentHarness) -> CollectLogsCommand:
    return harness.an_errand(CollectLogsCommand, upload={"url": SECRET_URL, "max_bytes": 10_000})


def test_a_bundle_is_begun_once_and_its_end_is_the_outcome() -> None:
    harness = AgentHarness()
    harness.start()
    command = a_collection(harness)

    harness.send(command)
    harness.send(command)
    assert harness.collections == [command]
    assert harness.states(command)[-1] is IN_PROGRESS
    bundle = Bundle(bytes=17, sha256="a" * 64, truncated=True)
    harness.deliver(Collected(command.id, bundle))

    assert (harness.results(command)[-1].state, harness.results(command)[-1].bundle) == (SUCCEEDED, bundle)


def test_a_bundle_that_is_not_there_is_a_failure_with_its_reason() -> None:
    harness = AgentHarness()
    harness.start()
    command = a_collection(harness)
    harness.send(command)

    harness.deliver(Collected(command.id, None, "upload-failed", "HTTP 403"))

    last = harness.results(command)[-1]
    assert (last.state, last.code, last.message) == (FAILED, "upload-failed", "HTTP 403")


def test_where_a_bundle_goes_is_on_disk_only_while_the_command_waits_and_in_no_log_or_result(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()
    command = a_collection(harness)
    harness.send(command)
    assert SECRET_URL in harness.state.files["commands.json"].decode()

    harness.turns(61.0)
    assert harness.collections == [command]
    harness.start()

    assert harness.results(command)[-1].code == "interrupted"
    said = b"".join(payload for _, payload in harness.link.published).decode() + caplog.text
    assert SECRET_URL not in said + "".join(each.decode() for each in harness.state.files.values())
