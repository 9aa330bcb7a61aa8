"""Texts from outside, of any length and form: none of them keeps a report or a result from going out."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.commands import CommandState, RestartApplicationCommand
from contract.reports import NO_CREDENTIALS, ApplicationState, ApplicationStatus, HostHealth
from edge.configuration.settings import Settings
from edge.containers.execute.operator_actions import ActionRefusal
from edge.events import Progressed
from edge.text import clip
from tests.support.edge.fakes import AgentHarness, a_pass, running

ANY_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=())),  # what JSON cannot hold as well
    st.builds(lambda each, times: each * times, st.characters(exclude_categories=()), st.integers(0, 3_000)),
)


class Unknowable:
    """A fault of ours."""

    def __bool__(self) -> bool:
        raise TypeError("nobody knows")


class BrokenHealth:
    def measure(self) -> HostHealth:
        raise OverflowError("a thermometer")


def said(harness: AgentHarness) -> tuple[str | None, str]:
    """Return the code and the text of the newest report."""
    desired = [report.desired for report in harness.reports() if report.desired is not None][-1]
    return desired.code, desired.message or ""


@pytest.mark.parametrize(
    ("configuration", "begins"),
    [
        ({key: {"no": ["good"]} for key in Settings.model_fields}, "publish_address: "),
        ({"registry_mirrors": {"k" * 600: "not a host!"}}, "registry_mirrors.kkk"),
        ({"registry_mirrors": {"\ud800": "not a host!"}}, "registry_mirrors."),
    ],
    ids=["every key", "a long key", "a key that is no Unicode"],
)
def test_a_configuration_that_is_bad_at_length_is_told_and_silences_nobody(
    configuration: dict[str, object], begins: str
) -> None:
    harness = AgentHarness(**configuration)

    harness.start()
    harness.turns(600.0)

    code, message = said(harness)
    assert (code, message.startswith(begins)) == ("configuration-invalid", True)
    assert len(harness.reports()) >= 8


@pytest.mark.parametrize("folder", ["/" + "f" * 4_000, "/srv/\udcff\udcfe"], ids=["long", "stray bytes"])
def test_a_folder_of_any_name_that_others_may_change_is_told(folder: str) -> None:
    harness = AgentHarness()
    harness.unsafe_folder = f"{folder} may be written by others"

    harness.start()

    code, message = said(harness)
    assert code == "unsafe-folder"
    assert message.startswith(folder[:5])
    assert message.endswith(" may be written by others")


def test_as_many_applications_as_there_may_be_can_fail_at_once_and_that_is_told() -> None:
    harness = AgentHarness()
    harness.link.values["desired"] = {"document_uri": harness.publish_document("web")}
    harness.containers.found = a_pass(
        *(
            ApplicationStatus(name=f"{n:040d}", state=ApplicationState.FAILED, code="denied")
            for n in range(64)
        )
    )

    harness.start()
    harness.turns(5.0)

    assert said(harness)[0] == "application-failed"


def test_whoever_waits_for_credentials_with_a_long_text_and_a_name_is_told_of() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(
        ApplicationStatus(
            name="a" * 40, state=ApplicationState.PULLING, code=NO_CREDENTIALS, message="m" * 512
        )
    )

    harness.start()

    assert said(harness)[0] == NO_CREDENTIALS


@settings(max_examples=60, deadline=None)
@given(key=ANY_TEXT, folder=ANY_TEXT, failure=ANY_TEXT, engine=ANY_TEXT, refusal=ANY_TEXT)
def test_whatever_texts_the_parts_give_reports_and_results_go_out(
    key: str, folder: str, failure: str, engine: str, refusal: str
) -> None:
    for managed in (False, True):
        harness = AgentHarness(registry_mirrors={key: "not a host!"})
        harness.unsafe_folder = folder
        harness.failure = ("access-denied", failure)
        harness.containers.found = a_pass(running("web"), engine=engine)
        harness.containers.refusal = ActionRefusal("locked", refusal)
        if managed:
            harness.link.values["desired"] = {"document_uri": f"s3://bucket/desired/{'0' * 64}.json"}
        harness.start()
        harness.turns(30.0)
        reports = len(harness.reports())
        assert said(harness)[0] == ("desired-unreadable" if managed else "configuration-invalid")

        harness.containers.found = a_pass(engine=engine)
        harness.deliver(Progressed())
        command = harness.an_errand(RestartApplicationCommand, application="web")
        harness.send(command)

        assert len(harness.reports()) > reports
        assert harness.states(command)[-1] is CommandState.REJECTED


def test_a_fault_in_the_status_of_the_document_costs_the_report_that_status_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = AgentHarness()
    harness.start()

    harness.containers.found = replace(a_pass(running("web")), converged=Unknowable())  # type: ignore[arg-type]
    harness.deliver(Progressed())

    report = harness.reports()[-1]
    assert report.desired is not None
    assert (report.desired.state, report.desired.code) == ("FAILED", "internal-error")
    assert report.application_names == ["web"]
    assert "part of the loop failed: part=desired status" in caplog.text


def test_a_machine_that_cannot_be_measured_is_reported_without_its_health(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = AgentHarness()
    harness.health = BrokenHealth()

    harness.start()

    [report] = harness.reports()
    assert report.host is None
    assert "left out of the report: part=health" in caplog.text


@given(text=ANY_TEXT, max_bytes=st.integers(3, 600))
def test_a_clipped_text_is_unicode_of_no_more_bytes_than_it_may_have(text: str, max_bytes: int) -> None:
    clipped = clip(text, max_bytes)

    assert len(clipped.encode()) <= max_bytes
    assert len(text) > max_bytes or "…" in clipped or clipped == text.encode("utf-8", "replace").decode()
