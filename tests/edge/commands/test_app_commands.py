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
from tests.support.edge.fakes import THING, World, until_killed

SECRET_URL = "https://bucket.s3.amazonaws.com/bundle?X-Amz-Signature=5ec4e7"
IN_PROGRESS, SUCCEEDED, FAILED = CommandState.IN_PROGRESS, CommandState.SUCCEEDED, CommandState.FAILED


def a_restart(world: World) -> RestartApplicationCommand:
    return world.an_errand(RestartApplicationCommand, application="web")


def test_a_restart_succeeds_when_the_container_was_started_again() -> None:
    world = World()
    world.start()
    command = a_restart(world)

    world.send(command)
    assert world.states(command) == [IN_PROGRESS]
    world.containers.restarts["web"](None)
    world.turns()

    assert world.states(command) == [IN_PROGRESS, SUCCEEDED]
    heard = [t for t, p in world.link.published if t.endswith("/res")]
    assert set(heard) == {topics.command_result(THING, "restart-application")}


def test_a_restart_that_the_engine_did_not_do_fails_with_its_words() -> None:
    world = World()
    world.start()
    command = a_restart(world)
    world.send(command)

    world.containers.restarts["web"](ActionRefusal("engine-unavailable", "no answer"))
    world.turns()

    last = world.results(command)[-1]
    assert (last.state, last.code, last.message) == (FAILED, "engine-unavailable", "no answer")


@pytest.mark.parametrize("kind", [RestartApplicationCommand, RetryApplicationCommand, RotateSecretsCommand])
def test_what_cannot_be_done_now_is_rejected_by_its_rule(
    kind: type[RestartApplicationCommand | RetryApplicationCommand | RotateSecretsCommand],
) -> None:
    world = World()
    world.start()
    world.containers.refusal = ActionRefusal("update-in-progress", "it is being replaced")
    command = world.an_errand(kind, application="web")

    world.send(command)

    last = world.results(command)[-1]
    assert (last.state, last.code) == (CommandState.REJECTED, "update-in-progress")


def test_a_retry_looks_at_the_containers_at_once() -> None:
    world = World()
    world.start()
    passes = world.containers.passes
    command = world.an_errand(RetryApplicationCommand, application="web")

    world.send(command)

    assert world.containers.retried == ["web"]
    assert world.states(command)[-1] is SUCCEEDED
    assert world.containers.passes > passes


def test_a_rotation_goes_by_its_commands_id_so_that_it_happens_once() -> None:
    world = World()
    world.start()
    command = world.an_errand(RotateSecretsCommand, application="web")

    world.send(command)
    world.send(command)

    assert world.containers.rotated == [("web", command.id)]
    assert world.states(command)[-1] is SUCCEEDED
    heard = [t for t, p in world.link.published if t.endswith("/res")]
    assert set(heard) == {topics.command_result(THING, "rotate-secrets")}


def test_a_report_is_sent_at_once_though_nothing_changed() -> None:
    world = World()
    world.start()
    reports = len(world.reports())
    command = world.an_errand(ReportNowCommand)

    world.send(command)

    assert len(world.reports()) == reports + 1
    assert world.states(command)[-1] is SUCCEEDED


def collect(world: World, **fields: str) -> list[str] | None:
    command = world.an_errand(CollectLogsCommand, application="web", **fields)
    world.send(command)
    last = world.results(command)[-1]
    assert last.state is SUCCEEDED
    return last.log_lines


def test_the_last_lines_of_an_application_come_with_the_result() -> None:
    world = World()
    world.start()
    world.containers.said = ["one", "two", "three"]

    assert collect(world) == ["one", "two", "three"]
    assert collect(world, lines="2") == ["two", "three"]


def test_logs_that_are_too_long_lose_their_beginning_and_the_result_stays_within_the_wires_size() -> None:
    world = World()
    world.start()
    world.containers.said = [f'{n} "ü"\\' * 20 for n in range(400)]

    lines = collect(world, lines="400")

    assert lines
    assert lines == world.containers.said[-len(lines) :]
    sizes = [len(p) for t, p in world.link.published if t.endswith("/res")]
    assert 5_000 < max(sizes) < REPORT_MAX_BYTES


def test_what_an_application_said_is_not_kept_once_it_was_told() -> None:
    world = World()
    world.start()
    world.containers.said = ["a line"]
    command = world.an_errand(CollectLogsCommand, application="web")

    world.link.broker_up = False
    world.send(command)
    world.start()
    world.link.broker_up = True
    world.turns(5.0)
    assert world.results(command)[-1].log_lines == ["a line"]

    assert "a line" not in world.state.files["commands.json"].decode()


def test_a_command_that_comes_again_answers_again_and_does_nothing() -> None:
    world = World()
    world.start()
    command = a_restart(world)
    world.send(command)
    world.containers.restarts.pop("web")(None)
    world.turns()

    world.send(command)
    world.start()
    world.send(command)

    assert world.containers.restarts == {}
    assert world.states(command)[-2:] == [SUCCEEDED, SUCCEEDED]


def test_an_expired_command_is_not_carried_out() -> None:
    world = World()
    world.start()
    command = a_restart(world)
    world.clock.advance(1_000)

    world.send(command)

    assert world.containers.restarts == {}
    assert world.states(command) == [CommandState.EXPIRED]


def test_a_command_waits_for_the_servers_time_even_through_a_restart_of_the_agent() -> None:
    world = World()
    world.answers_time = False
    world.start()
    command = a_restart(world)
    world.send(command)
    assert world.containers.restarts == {}

    world.answers_time = True
    world.start()
    world.turns(1.0)

    assert list(world.containers.restarts) == ["web"]


def test_a_restart_that_the_agents_end_cut_short_is_said_to_have_failed_and_not_begun_again() -> None:
    world = World()
    world.start()
    command = a_restart(world)
    world.send(command)
    world.containers.restarts.clear()

    world.start()
    world.send(command)

    assert world.containers.restarts == {}
    last = world.results(command)[-1]
    assert (last.state, last.code) == (FAILED, "interrupted")


def carry_out(world: World, command: RestartApplicationCommand) -> None:
    """Send a restart, and let the engine do what was begun."""
    world.send(command)
    for ended in list(world.containers.restarts.values()):
        ended(None)
    world.turns()


def test_no_death_of_the_agent_makes_it_restart_an_application_twice_or_stay_silent() -> None:
    deaths, killed = 0, True
    while killed:
        world = World()
        world.start()
        world.fate.kill_after = len(world.fate.effects) + deaths + 1
        command = a_restart(world)
        killed = until_killed(lambda world=world, command=command: carry_out(world, command))  # type: ignore[misc]
        begun = len(world.containers.restarts)
        world.containers.restarts.clear()
        world.fate.kill_after = None
        world.start()
        carry_out(world, command)

        assert begun + len(world.containers.restarts) <= 1
        assert world.states(command)[-1].final
        deaths += killed
    assert deaths >= 4


@pytest.mark.parametrize("name", ["report-now", "reboot"])
def test_a_command_on_the_topic_of_another_is_no_command(name: topics.Command) -> None:
    world = World()
    world.start()
    command = a_restart(world)

    world.deliver(MessageReceived(topics.command_request(THING, name), command.to_json()))

    assert (world.results(), world.containers.restarts) == ([], {})
    world.turns(120)
    assert world.reports()[-1].malformed_messages == 1


def test_nothing_is_carried_out_while_the_machine_is_about_to_go_down() -> None:
    world = World()
    world.start()
    world.send(world.a_command())
    command = a_restart(world)

    world.send(command)

    assert world.states(command) == [CommandState.REJECTED]
    assert world.results(command)[0].code == "reboot-in-progress"


def test_a_reboot_may_follow_an_errand_that_has_not_ended() -> None:
    world = World()
    world.start()
    world.send(a_restart(world))
    command = world.a_command()

    world.send(command)

    assert world.machine.reboots == 1


def test_a_ledger_from_before_there_were_errands_is_read() -> None:
    world = World()
    world.start()
    old = world.a_command()
    world.send(old)
    ledger = world.ledger()
    for entry in ledger["entries"].values():
        entry.pop("command")
    world.state.files["commands.json"] = json.dumps(ledger).encode()
    world.power_cycle()

    assert world.states(old)[-1] is SUCCEEDED


def a_collection(world: World) -> CollectLogsCommand:
    return world.an_errand(CollectLogsCommand, upload={"url": SECRET_URL, "max_bytes": 10_000})


def test_a_bundle_is_begun_once_and_its_end_is_the_outcome() -> None:
    world = World()
    world.start()
    command = a_collection(world)

    world.send(command)
    world.send(command)
    assert world.collections == [command]
    assert world.states(command)[-1] is IN_PROGRESS
    bundle = Bundle(bytes=17, sha256="a" * 64, truncated=True)
    world.deliver(Collected(command.id, bundle))

    assert (world.results(command)[-1].state, world.results(command)[-1].bundle) == (SUCCEEDED, bundle)


def test_a_bundle_that_is_not_there_is_a_failure_with_its_reason() -> None:
    world = World()
    world.start()
    command = a_collection(world)
    world.send(command)

    world.deliver(Collected(command.id, None, "upload-failed", "HTTP 403"))

    last = world.results(command)[-1]
    assert (last.state, last.code, last.message) == (FAILED, "upload-failed", "HTTP 403")


def test_where_a_bundle_goes_is_on_disk_only_while_the_command_waits_and_in_no_log_or_result(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    world = World()
    world.answers_time = False
    world.start()
    command = a_collection(world)
    world.send(command)
    assert SECRET_URL in world.state.files["commands.json"].decode()

    world.turns(61.0)
    assert world.collections == [command]
    world.start()

    assert world.results(command)[-1].code == "interrupted"
    said = b"".join(payload for _, payload in world.link.published).decode() + caplog.text
    assert SECRET_URL not in said + "".join(each.decode() for each in world.state.files.values())
