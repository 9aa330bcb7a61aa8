"""Sizes that Nucleus Lite enforces by silence or by closing the connection (failure rule 34)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.commands import RebootCommand, TimeAnswer
from contract.defaults import APPLICATIONS_MAX, COMMAND_MAX_BYTES, REPORT_MAX_BYTES
from contract.reports import (
    ApplicationState,
    ApplicationStatus,
    DesiredStatus,
    DeviceReport,
    HostHealth,
    PublishedPort,
    Rollback,
    split,
)

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
CROWDED = "ü" * 300  # two bytes a character on the wire


def a_report(applications: list[ApplicationStatus]) -> DeviceReport:
    return DeviceReport(
        epoch="e" * 64,
        sequence=2**53,
        at=NOW,
        boot_id="b" * 64,
        agent_version="9" * 64,
        interval_s=60,
        desired=DesiredStatus(state="FAILED", message=CROWDED, deployment_id="d" * 64, target="t" * 160),
        host=HostHealth(architecture="amd64", uptime_s=1e9, disk_free_bytes=2**60),
        engine="20.10.24",
        application_names=[],
        applications=applications,
    )


def a_status(i: int, text: str) -> ApplicationStatus:
    image = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/fleetgrass/app-{i}@sha256:{'a' * 64}"
    return ApplicationStatus(
        name=f"{'n' * 37}{i:03d}",
        state=ApplicationState.ROLLED_BACK,
        image=image,
        ports=[PublishedPort(container_port=65535, host_port=65535, address="255.255.255.255")] * 3,
        code="not-healthy",
        message=text,
        rollback=Rollback(from_image=image, to_image=image, code="not-healthy", reason=text),
    )


def test_the_largest_commands_pass_nucleus_lite() -> None:
    command = RebootCommand(
        id="cmd-01kanm5phz0123456789abcdef",
        issued_at=NOW,
        expires_at=NOW.replace(year=2027),
        requested_by="\U0001f916" * 128,
        reason="\U0001f916" * 256,
        force=True,
    )
    assert len(command.to_json()) < COMMAND_MAX_BYTES
    assert len(TimeAnswer(nonce="n" * 64, server_time_ms=2**60).to_json()) < COMMAND_MAX_BYTES


@pytest.mark.parametrize("text", ["", CROWDED])
def test_a_report_of_64_applications_is_split_into_parts_that_pass_nucleus_lite(text: str) -> None:
    report = a_report([a_status(i, text) for i in range(APPLICATIONS_MAX)])

    parts = split(report)

    assert all(len(part.to_json()) < REPORT_MAX_BYTES for part in parts)
    assert [part.part for part in parts] == list(range(len(parts)))
    assert {part.parts for part in parts} == {len(parts)}
    assert [a for part in parts for a in part.applications] == report.applications
    assert parts[0].application_names == [a.name for a in report.applications]
    assert parts[0].host == report.host
    assert all(part.host is None and part.application_names is None for part in parts[1:])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=250), max_size=APPLICATIONS_MAX))
def test_no_mix_of_applications_makes_a_part_too_large_or_loses_one(texts: list[str]) -> None:
    report = a_report([a_status(i, text) for i, text in enumerate(texts)])

    parts = split(report)

    assert all(len(part.to_json()) < REPORT_MAX_BYTES for part in parts)
    assert [a for part in parts for a in part.applications] == report.applications
