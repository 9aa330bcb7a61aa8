"""The loop as the cloud sees it: what is said when, and what becomes of a changed configuration."""

import itertools
import json
from typing import get_args

import pytest

from contract import topics
from contract.defaults import REPORT_MAX_BYTES
from contract.reports import ApplicationState, ApplicationStatus, PublishedPort, Rollback
from edge.events import EngineChanged, Event, LinkLost, MessageReceived, Progressed, ShutDown, Unreadable
from edge.ports.link import QoS
from tests.support.edge.fakes import THING, AgentHarness, a_pass, an_image, running


def test_a_start_says_hello_then_reports_and_asks_for_the_time() -> None:
    harness = AgentHarness()

    harness.start()

    assert [topic for topic, _ in harness.link.published] == [
        f"dt/fleetgrass/{THING}/connection",
        f"dt/fleetgrass/{THING}/report",
    ]
    (hello,) = harness.events()
    (report,) = harness.reports()
    assert (hello.event, hello.boot_id, hello.interval_s) == ("hello", "boot-1", 60.0)
    assert hello.epoch == report.epoch
    assert hello.sequence < report.sequence
    assert report.desired is not None
    assert report.desired.state == "NOT_MANAGED"


def test_without_news_a_report_comes_once_per_interval() -> None:
    harness = AgentHarness(heartbeat_s="30")
    harness.start()

    harness.turns(29.0)
    assert len(harness.reports()) == 1
    harness.turns(61.0)

    sequences = [report.sequence for report in harness.reports()]
    assert sequences == list(range(sequences[0], sequences[0] + 4))


def test_a_change_is_reported_at_once_and_once() -> None:
    harness = AgentHarness()
    harness.start()
    harness.containers.found = a_pass(running("web"))

    harness.deliver(Progressed())
    harness.deliver(Progressed())

    first, second = harness.reports()
    assert first.applications == []
    assert [(a.name, a.state) for a in second.applications] == [("web", "RUNNING")]


def test_a_death_that_the_engine_tells_of_before_its_list_shows_it_is_reported_within_a_second() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(running("web"))
    harness.start()

    harness.deliver(EngineChanged())
    harness.containers.found = a_pass(ApplicationStatus(name="web", state=ApplicationState.STOPPED))
    harness.turns(1.0)

    assert [report.applications[0].state for report in harness.reports()] == ["RUNNING", "STOPPED"]


def test_each_quarter_of_a_pull_is_news_and_that_it_failed_is() -> None:
    harness = AgentHarness()
    pulling = ApplicationStatus(name="web", state=ApplicationState.PULLING)
    harness.containers.found = a_pass(pulling, settled=False)
    harness.start()
    for percent in (0, 10, 24, 25, 40, 60):
        status = pulling.model_copy(update={"pull_percent": percent})
        harness.containers.found = a_pass(status, settled=False)
        harness.deliver(Progressed())
    assert [report.applications[0].pull_percent for report in harness.reports()] == [None, 0, 25, 60]

    harness.containers.found = a_pass(pulling.model_copy(update={"code": "denied"}), settled=False)
    harness.deliver(Progressed())

    assert len(harness.reports()) == 5


def test_cpu_and_memory_are_in_the_report_when_the_configuration_asks_and_are_no_news() -> None:
    for configuration, told in (({}, (None, None)), ({"report_usage": "true"}, (12.5, 1 << 20))):
        harness = AgentHarness(**configuration)
        harness.containers.found = a_pass(running("web"))
        harness.start()
        harness.deliver(Progressed())

        [report] = harness.reports()
        assert [(each.cpu_percent, each.memory_bytes) for each in report.applications] == [told]


def test_sigterm_says_goodbye_closes_the_containers_part_and_ends_with_0() -> None:
    harness = AgentHarness()
    harness.start()

    status = harness.stop()

    assert status == 0
    assert (harness.events()[-1].event, harness.events()[-1].reason) == ("goodbye", "shutdown")
    assert harness.containers.closed


def a_world_that_ended(goodbyes: str) -> AgentHarness:
    """Return one with a result that nobody has acknowledged, after SIGTERM, as far as the next start."""
    harness = AgentHarness(reboot_budget=0)
    harness.start()
    harness.acknowledges = False
    harness.send(harness.a_command())
    match goodbyes:
        case "refused":
            harness.link.refuses_qos_0 = True
        case "not allowed":
            harness.link.not_allowed = {topics.connection(THING)}
        case "no nucleus":  # as whenever the nucleus itself is stopped
            harness.link.dies()
    assert harness.stop() == 0
    harness.link.refuses_qos_0, harness.link.not_allowed = False, set()
    harness.link.nucleus_up = True
    return harness


@pytest.mark.parametrize("goodbyes", ["refused", "not allowed", "no nucleus"])
def test_nothing_on_the_device_depends_on_a_goodbye(goodbyes: str) -> None:
    heard, unheard = a_world_that_ended("heard"), a_world_that_ended(goodbyes)
    assert [event.event for event in heard.events()] == ["hello", "goodbye"]
    assert [event.event for event in unheard.events()] == ["hello"]

    for name in ("commands.json", "acknowledgements.json", "desired.json"):
        assert unheard.state.files.get(name) == heard.state.files.get(name)
    for harness in (heard, unheard):
        kept = json.loads(harness.state.files["outbox.json"])["messages"]
        assert [each["key"].partition(":")[0] for each in kept if each["key"] != "report"] == ["result"]
        before, harness.acknowledges = len(harness.link.published), True
        harness.start()
        harness.turns(60.0)
        said = [topic for topic, _ in harness.link.published[before:] if not topic.endswith("/report")]
        assert sorted(said) == [topics.command_result(THING, "reboot"), topics.connection(THING)]
        assert harness.events()[-1].event == "hello"
        assert json.loads(harness.state.files["outbox.json"]) == {}


def test_sigterm_during_a_reboot_says_so() -> None:
    harness = AgentHarness()
    harness.start()
    harness.send(harness.a_command())

    harness.stop()

    assert harness.events()[-1].reason == "reboot"


def test_a_new_reference_is_fetched_and_taken_over_and_reported() -> None:
    harness = AgentHarness()
    harness.start()
    uri = harness.publish_document("web", revision=4)

    harness.configure(desired={"document_uri": uri})

    assert harness.fetches == [uri]
    desired = harness.reports()[-1].desired
    assert desired is not None
    assert (desired.state, desired.revision, desired.target) == ("CONVERGED", 4, "thinggroup/line-3")
    assert desired.document_sha256 == uri[-69:-5]


def test_many_events_of_one_merge_are_one_reading() -> None:
    harness = AgentHarness()
    harness.start()
    uri = harness.publish_document("web")

    for _ in range(5):
        harness.configure(desired={"document_uri": uri})

    assert harness.fetches == [uri]


def test_no_reference_means_not_managed_and_nothing_is_desired() -> None:
    harness = AgentHarness()

    harness.start()

    assert harness.containers.desired == [None]


def test_a_restart_goes_on_with_the_document_on_disk_without_asking_anybody() -> None:
    harness = AgentHarness(desired={"document_uri": ""})
    uri = harness.publish_document("web")
    harness.link.values["desired"] = {"document_uri": uri}
    harness.start()
    assert harness.fetches == [uri]
    harness.documents.clear()

    harness.start()

    assert harness.fetches == [uri]
    assert [(a.name, a.state) for a in harness.reports()[-1].applications] == [("web", "RUNNING")]


def test_a_document_that_cannot_be_fetched_leaves_what_runs_and_is_reported_after_a_few_tries() -> None:
    harness = AgentHarness()
    harness.start()
    harness.configure(desired={"document_uri": harness.publish_document("web", revision=1)})
    missing = harness.publish_document("web", revision=2)
    content = harness.documents.pop(missing)

    harness.configure(desired={"document_uri": missing})
    first = harness.reports()[-1].desired
    harness.turns(10.0)
    later = harness.reports()[-1].desired

    assert first is not None
    assert later is not None
    assert (first.state, first.revision) == ("CONVERGING", 1)
    assert (later.state, later.code, later.revision) == ("FAILED", "desired-unreadable", 1)
    assert later.wanted_sha256 not in (None, later.document_sha256)  # the next revision's failure
    assert [document and document.revision for document in harness.containers.desired] == [None, 1]

    harness.documents[missing] = content
    harness.turns(20.0)
    last = harness.reports()[-1].desired
    assert last is not None
    assert (last.state, last.revision, last.code) == ("CONVERGED", 2, None)


def test_without_credentials_that_is_told_with_its_age_and_its_end_and_over_within_a_minute() -> None:
    harness = AgentHarness()
    harness.start()
    uri = harness.publish_document("web")
    content = harness.documents.pop(uri)
    cause = f"TES responded with status code: 403. Caching response. {'x' * 1_000}: not allowed"
    harness.failure = ("no-credentials", cause)

    harness.configure(desired={"document_uri": uri})
    harness.turns(3600.0)
    desired = harness.reports()[-1].desired
    tries = len(harness.fetches)
    harness.documents[uri] = content
    harness.turns(75.0)

    assert desired is not None
    assert (desired.state, desired.code) == ("FAILED", "no-credentials")
    assert desired.message is not None
    assert desired.message.startswith("TES responded with status code: 403.")
    assert desired.message.endswith(": not allowed")
    assert desired.since is not None
    assert 3500.0 < (harness.clock.date - desired.since).total_seconds() - 75.0 <= 3600.0
    assert tries <= 70
    after = harness.reports()[-1].desired
    assert after is not None
    assert (after.state, after.code, after.since) == ("CONVERGED", None, None)


def test_applications_that_wait_for_credentials_make_it_the_devices_word_and_no_failure() -> None:
    harness = AgentHarness(heartbeat_s="often")
    waiting = ApplicationStatus(
        name="web", state=ApplicationState.PULLING, code="no-credentials", message="token exchange is silent"
    )
    harness.containers.found = a_pass(waiting, settled=False)
    harness.link.values["desired"] = {"document_uri": harness.publish_document("web")}
    harness.start()
    first = harness.reports()[-1].desired
    harness.turns(120.0)

    last = harness.reports()[-1].desired
    assert last is not None
    assert (last.state, last.code, last.message) == (
        "CONVERGING",
        "no-credentials",
        "web: token exchange is silent",
    )
    assert first is not None
    assert last.since == first.since is not None


def test_bytes_that_do_not_have_the_hash_in_their_name_are_never_taken() -> None:
    harness = AgentHarness()
    harness.start()
    uri = harness.publish_document("web")
    harness.documents[uri] = harness.documents[uri].replace(b"web", b"bad")

    harness.configure(desired={"document_uri": uri})
    harness.turns(30.0)

    desired = harness.reports()[-1].desired
    assert desired is not None
    assert (desired.state, desired.code) == ("FAILED", "desired-unreadable")
    assert harness.containers.desired == [None]
    assert "desired.json" not in harness.state.files


@pytest.mark.parametrize("uri", ["s3://bucket/other.json", "https://example.com/x", "nonsense"])
def test_a_reference_that_is_none_is_reported_and_changes_nothing(uri: str) -> None:
    harness = AgentHarness()
    harness.start()
    harness.configure(desired={"document_uri": harness.publish_document("web")})

    harness.configure(desired={"document_uri": uri})

    desired = harness.reports()[-1].desired
    assert desired is not None
    assert (desired.state, desired.code) == ("FAILED", "desired-invalid")
    assert len(harness.containers.desired) == 2


def test_removing_the_reference_stops_managing_and_bringing_it_back_resumes() -> None:
    harness = AgentHarness()
    harness.start()
    uri = harness.publish_document("web")
    harness.configure(desired={"document_uri": uri})

    del harness.link.values["desired"]
    harness.configure()
    assert harness.containers.desired[-1] is None
    harness.configure(desired={"document_uri": uri})

    assert harness.containers.desired[-1] is not None
    assert harness.fetches == [uri]


def test_a_broken_file_of_the_last_document_is_set_aside_and_fetched_again() -> None:
    harness = AgentHarness()
    uri = harness.publish_document("web")
    harness.state.files["desired.json"] = b"\x00"
    harness.link.values["desired"] = {"document_uri": uri}

    harness.start()

    assert harness.state.aside == {"desired.json": b"\x00"}
    assert harness.state.files["desired.json"] == harness.documents[uri]


def test_a_value_that_cannot_be_used_keeps_its_key_as_it_was_and_holds_up_no_other() -> None:
    harness = AgentHarness(heartbeat_s="30")
    harness.start()
    uri = harness.publish_document("web")

    harness.configure(heartbeat_s="often", desired={"document_uri": uri}, report_usage="true")
    assert harness.fetches == [uri]
    assert harness.reports()[-1].interval_s == 30.0
    assert harness.reports()[-1].applications[0].cpu_percent == 12.5
    harness.configure(heartbeat_s="20")

    assert harness.reports()[-1].interval_s == 20.0


def test_a_reference_that_is_no_text_leaves_the_device_managed_as_it_was_and_is_told() -> None:
    harness = AgentHarness()
    harness.link.values["desired"] = {"document_uri": harness.publish_document("web")}
    harness.start()
    harness.containers.desired.clear()

    harness.configure(desired={"document_uri": 5})
    harness.start()

    desired = harness.reports()[-1].desired
    assert desired is not None
    assert (desired.state, desired.revision, desired.code) == ("CONVERGED", 1, "configuration-invalid")
    assert [document and document.revision for document in harness.containers.desired] == [1]


def test_a_start_with_a_value_that_cannot_be_used_goes_on_with_the_last_good_one_and_tells_its_key() -> None:
    harness = AgentHarness(heartbeat_s="30", reboot_command=["my-reboot"])
    harness.start()

    harness.link.values.update(heartbeat_s="often", reboot_command=["gone"])
    harness.checks = {"reboot_command": lambda value: "there is none" if value == ["gone"] else None}
    harness.start()

    report = harness.reports()[-1]
    assert report.interval_s == 30.0
    assert report.desired is not None
    assert (report.desired.state, report.desired.code) == ("NOT_MANAGED", "configuration-invalid")
    assert report.desired.message is not None
    assert report.desired.message.startswith("heartbeat_s: ")
    assert report.desired.message.endswith("; reboot_command: there is none")


def test_a_configuration_that_is_no_good_hides_no_worse_cause() -> None:
    harness = AgentHarness(heartbeat_s="often")
    harness.containers.found = a_pass(settled=False, engine="unavailable")
    harness.link.values["desired"] = {"document_uri": harness.publish_document("web")}

    harness.start()

    desired = harness.reports()[-1].desired
    assert desired is not None
    assert (desired.state, desired.code) == ("FAILED", "engine-unavailable")


def test_an_unusable_configuration_is_told_to_the_cloud_by_its_key() -> None:
    harness = AgentHarness()
    harness.link.values["desired"] = {"document_uri": harness.publish_document("web")}
    harness.start()

    harness.configure(heartbeat_s="often")
    harness.configure(heartbeat_s="20")

    said = [r.desired for r in harness.reports() if r.desired is not None][-2:]
    assert [(d.state, d.code) for d in said] == [("CONVERGED", "configuration-invalid"), ("CONVERGED", None)]
    assert (said[0].message or "").startswith("heartbeat_s: ")


def test_a_folder_that_others_may_change_is_told_and_supervision_goes_on() -> None:
    harness = AgentHarness()
    harness.link.values["desired"] = {"document_uri": harness.publish_document("web")}
    harness.unsafe_folder = "/srv may be written by others"
    harness.start()
    harness.turns(5)

    said = harness.reports()[-1].desired
    assert said is not None
    assert (said.state, said.code, said.message) == (
        "CONVERGED",
        "unsafe-folder",
        "/srv may be written by others",
    )


def test_worse_news_comes_before_a_folder_that_others_may_change() -> None:
    harness = AgentHarness()
    harness.unsafe_folder = "/srv may be written by others"
    harness.start()

    harness.configure(heartbeat_s="often")
    harness.turns(60)

    said = harness.reports()[-1].desired
    assert said is not None
    assert said.code == "configuration-invalid"


def test_a_part_that_fails_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    harness = AgentHarness()
    harness.start()
    harness.containers.found = RuntimeError("bug")

    harness.deliver(Progressed())
    command = harness.a_command()
    harness.send(command)

    assert "part of the loop failed: part=containers" in caplog.text
    assert harness.machine.reboots == 1


def test_a_bug_in_every_turn_costs_one_traceback_a_second_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = AgentHarness()
    harness.start()

    def broken(topic: str, payload: bytes, qos: QoS) -> None:
        raise TypeError(topic)

    harness.link.publish = broken  # type: ignore[method-assign]
    harness.containers.found = a_pass(running("web"))
    harness.deliver(Progressed())
    caplog.clear()
    harness.turns(10.0)

    assert 5 <= len(caplog.records) <= 11


def test_a_bug_in_keeping_the_link_ends_neither_the_agent_nor_its_tries(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = AgentHarness()
    harness.start()

    def broken(number: int) -> None:
        raise TypeError("connect")

    harness.link.reconnect = broken  # type: ignore[method-assign]
    harness.deliver(LinkLost("nucleus restarted"))

    assert harness.turns(5.0) is None
    assert "part of the loop failed: part=link" in caplog.text
    del harness.link.reconnect  # the bug was a moment's
    harness.turns(80.0)
    assert [e.event for e in harness.events()] == ["hello", "hello"]


def test_before_anything_was_seen_of_the_containers_nothing_is_said_of_them() -> None:
    harness = AgentHarness()
    harness.containers.found = RuntimeError("bug")
    harness.start()
    assert harness.reports() == []
    harness.containers.found = a_pass(running("web"))

    harness.turns(5.0)

    assert [report.application_names for report in harness.reports()] == [["web"]]


def test_a_document_that_no_pass_has_seen_is_not_converged() -> None:
    harness = AgentHarness()
    harness.link.values["desired"] = {"document_uri": harness.publish_document("web")}
    harness.start()
    harness.send(harness.a_command())  # from here on containers are left alone

    harness.configure(desired={"document_uri": harness.publish_document("web", "other", revision=2)})
    harness.turns(60.0)

    said = [(r.desired.revision, r.desired.state) for r in harness.reports() if r.desired is not None]
    assert (1, "CONVERGED") in said
    assert said[-1] == (2, "CONVERGING")
    assert (2, "CONVERGED") not in said


def test_containers_that_nothing_will_change_but_that_are_not_as_wanted_are_not_converged() -> None:
    harness = AgentHarness()
    ailing = running("web").model_copy(update={"state": ApplicationState.UNHEALTHY})
    harness.containers.found = a_pass(ailing, converged=False)
    harness.link.values["desired"] = {"document_uri": harness.publish_document("web")}
    harness.start()
    harness.turns(60.0)

    assert {r.desired.state for r in harness.reports() if r.desired is not None} == {"CONVERGING"}


def test_an_agent_that_starts_during_a_reboot_tells_what_runs_and_touches_nothing() -> None:
    harness = AgentHarness(desired={"document_uri": "s3://bucket/desired/" + "0" * 64 + ".json"})
    harness.start()
    harness.send(harness.a_command())
    harness.containers.desired.clear()
    harness.containers.found = a_pass(running("web"))

    harness.start()
    harness.turns(60.0)

    assert harness.containers.desired == [None]
    assert harness.reports()[-1].application_names == ["web"]


def test_an_engine_that_is_away_is_reported_and_so_is_its_return() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(settled=False, engine="unavailable")
    uri = harness.publish_document("web")
    harness.link.values["desired"] = {"document_uri": uri}
    harness.start()
    away = harness.reports()[-1]
    harness.containers.found = None

    harness.turns(10.0)

    back = harness.reports()[-1]
    assert away.desired is not None
    assert back.desired is not None
    assert (away.engine, away.desired.code) == ("unavailable", "engine-unavailable")
    assert (back.engine, back.desired.state) == ("20.10", "CONVERGED")


def test_sixty_four_applications_at_their_worst_go_out_in_parts_within_the_size() -> None:
    harness = AgentHarness()
    image = an_image("x" * 100)
    ports = [PublishedPort(container_port=p, host_port=p, address="127.0.0.1") for p in range(60_000, 60_064)]
    worst = tuple(
        ApplicationStatus(
            name=f"application-number-{n:02d}",
            state=ApplicationState.ROLLED_BACK,
            image=image,
            container_id="0123456789ab",
            ports=ports,
            code="image-not-found",
            message='"ü\n' * 100,
            rollback=Rollback(from_image=image, to_image=image, code="unhealthy", reason="\x01" * 500),
        )
        for n in range(64)
    )
    harness.containers.found = a_pass(*worst)

    harness.start()

    payloads = [payload for topic, payload in harness.link.published if topic.endswith("/report")]
    assert max(len(payload) for payload in payloads) < REPORT_MAX_BYTES
    parts = harness.reports()
    assert [(p.part, p.parts) for p in parts] == [(n, len(parts)) for n in range(len(parts))]
    assert parts[0].application_names == [a.name for a in worst]
    assert [a.name for p in parts for a in p.applications] == [a.name for a in worst]


def test_what_cannot_be_sent_waits_in_order_and_the_newest_report_survives_a_restart() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.broker_up = False
    command = harness.a_command()
    harness.send(command)
    harness.containers.found = a_pass(running("web"))
    harness.turns(200.0)
    assert len(harness.reports()) == 1
    harness.stop()
    harness.link.broker_up = True
    harness.containers.found = RuntimeError("no new report")
    before = len(harness.link.published)

    harness.start()
    harness.turns(10.0)

    said = [topic.rsplit("/", 1)[-1] for topic, _ in harness.link.published[before:]]
    assert sorted(said[:3]) == ["connection", "report", "res"]
    assert said[0] == "connection"  # the answer to it tells by which clock commands are judged


def test_a_topic_that_the_recipe_forgot_costs_no_message_on_the_others() -> None:
    harness = AgentHarness()
    harness.link.not_allowed = {f"dt/fleetgrass/{THING}/report", f"dt/fleetgrass/{THING}/connection"}
    harness.start()
    harness.turns(30.0)
    command = harness.a_command()
    harness.send(command)
    harness.turns(60.0)
    assert [r.state for r in harness.results(command)] == ["IN_PROGRESS"]

    harness.link.not_allowed = set()
    harness.turns(80.0)

    assert [e.event for e in harness.events()][:1] == ["hello"]
    assert harness.reports() != []


def test_a_stream_of_messages_without_end_does_not_keep_the_device_from_reporting() -> None:
    harness = AgentHarness()
    harness.start()
    left = 5_000
    take = harness.inbox.take

    def endless(wait_s: float = 0.0) -> Event | None:
        nonlocal left
        left -= 1
        return MessageReceived("cmd/fleetgrass/robot-7/reboot/req", b"x") if left > 0 else take(wait_s)

    harness.inbox.take = endless  # type: ignore[method-assign]
    harness.clock.advance(100.0)
    assert harness.agent is not None
    harness.agent.turn()

    assert left > 4_000
    assert len(harness.reports()) == 2


def test_a_broker_that_is_away_is_tried_with_growing_patience() -> None:
    harness = AgentHarness()
    harness.link.broker_up = False
    harness.start()
    tries = []
    publish = harness.link.publish

    def counted(topic: str, payload: bytes, qos: QoS) -> None:
        tries.append(harness.clock.elapsed_s)
        publish(topic, payload, qos)

    harness.link.publish = counted  # type: ignore[method-assign]
    harness.turns(600.0)

    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert waits == sorted(waits)
    assert [round(wait) for wait in waits[:4]] == [2, 4, 8, 10]
    assert set(waits[3:]) == {10.0}  # a device is heard that soon after its nucleus


def test_a_lost_link_is_made_again_and_hello_is_said_again() -> None:
    harness = AgentHarness()
    harness.start()
    uri = harness.publish_document("web")
    harness.link.values["desired"] = {"document_uri": uri}  # changed while nobody could hear the event

    harness.deliver(LinkLost("nucleus restarted"))
    harness.turns(5.0)

    assert harness.link.connects == 1
    assert [e.event for e in harness.events()] == ["hello", "hello"]
    assert harness.fetches == [uri]


def test_a_link_that_stays_away_ends_the_process_after_a_minute_so_that_it_gets_a_new_token() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.nucleus_up = False
    harness.inbox.put(LinkLost("nucleus restarted"))
    began = harness.clock.elapsed_s

    status = harness.turns(600.0)

    assert status == 1
    assert 50 <= harness.clock.elapsed_s - began <= 75


def test_a_subscription_that_is_refused_is_tried_again() -> None:
    harness = AgentHarness()
    harness.link.nucleus_up = False

    harness.start()
    assert harness.link.subscribed == set()
    harness.link.nucleus_up = True
    harness.turns(5.0)

    assert len(harness.link.subscribed) == 2 + len(get_args(topics.Command))


def test_a_message_that_the_client_library_cannot_read_is_counted() -> None:
    harness = AgentHarness()
    harness.start()

    harness.deliver(Unreadable("cmd/fleetgrass/robot-7/reboot/req"))
    harness.turns(80.0)

    assert harness.reports()[-1].malformed_messages == 1


def test_a_flood_of_messages_is_bounded_and_counted_and_does_not_delay_the_end() -> None:
    harness = AgentHarness()
    harness.start()
    for _ in range(3_000):
        harness.inbox.put(MessageReceived("cmd/fleetgrass/robot-7/reboot/req", b"x"))
    harness.inbox.put(ShutDown())

    assert harness.turns() == 0
    assert harness.inbox.dropped == 2_000


def test_reports_of_one_epoch_only_ever_count_up_across_kills() -> None:
    harness = AgentHarness()
    for _ in range(3):
        harness.start()
        harness.turns(100.0)

    reports = harness.reports()
    assert len({report.epoch for report in reports}) == 1
    sequences = [report.sequence for report in reports]
    assert sequences == sorted(set(sequences))


def test_a_full_disk_begins_a_new_epoch_rather_than_silence() -> None:
    harness = AgentHarness()
    harness.start()
    epoch = harness.reports()[-1].epoch
    harness.state.full = True

    harness.turns(100 * 60.0)

    assert len(harness.reports()) > 90
    assert harness.reports()[-1].epoch != epoch


def test_the_time_is_asked_for_again_while_nobody_answers() -> None:
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()

    harness.turns(61.0)

    first, second = harness.events()
    assert first.nonce != second.nonce


def test_a_hello_that_lay_in_the_outbox_asks_for_the_time_as_it_goes_out() -> None:
    harness = AgentHarness()
    harness.link.broker_up = False
    harness.start()
    harness.clock.advance(40.0)  # an answer this late would tell no time
    harness.link.broker_up = True
    harness.turns(1.0)

    assert len(harness.events()) == 1
    command = harness.a_command()
    harness.send(command)
    assert harness.results(command)[-1].clock == "server"


def test_the_loop_sleeps_when_there_is_nothing_to_do() -> None:
    harness = AgentHarness()
    agent = harness.start()
    passes = harness.containers.passes

    harness.turns(50.0)

    assert agent.wait_s() > 0.5
    assert harness.containers.passes - passes <= 12


@pytest.mark.parametrize("name", ["commands.json", "desired.json", "outbox.json", "sequence.json"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b'{"v": 99}', b'{"messages": [{"key": 1}]}'])
def test_a_state_file_that_makes_no_sense_is_set_aside_and_the_device_comes_online(
    name: str, content: bytes
) -> None:
    harness = AgentHarness()
    harness.state.files[name] = content

    harness.start()
    command = harness.a_command()
    harness.clock.advance(2.0)
    harness.send(command)

    assert harness.state.aside == {name: content}
    assert harness.events()[0].event == "hello"
    assert len(harness.reports()) >= 1
    assert harness.machine.reboots == (0 if name == "commands.json" else 1)
