"""A device looks into a document before it follows it: what it refuses leaves the old revision serving."""

from typing import Any

import pytest

from contract.reports import DesiredStatus, RefusedDocument
from edge.desired.examination import ANSWER_S, FILE
from edge.events import Examined
from edge.preflight.verdict import FINE, PreflightRefusal, Verdict
from tests.support.edge.fakes import AgentHarness

POLICY = Verdict(
    PreflightRefusal("policy-refused", "web: policy.privileged does not allow privileged", lasting=True)
)
DENIED = Verdict(PreflightRefusal("registry-denied", "web: answers 403", frozenset({"image"})))
NOBODY_KNOWS = Verdict(unknown=frozenset({"image"}))


def on_revision_1() -> AgentHarness:
    """Return a device that follows revision 1 and was never refused anything."""
    harness = AgentHarness()
    harness.start()
    harness.configure(desired={"document_uri": harness.publish_document("web")})
    return harness


def refer(harness: AgentHarness, revision: int = 2, **values: Any) -> str:
    uri = harness.publish_document("web", revision=revision)
    harness.configure(desired={"document_uri": uri}, **values)
    return uri[-69:-5]


def said(harness: AgentHarness) -> DesiredStatus:
    desired = harness.reports()[-1].desired
    assert desired is not None
    return desired


def followed(harness: AgentHarness) -> int | None:
    document = harness.containers.desired[-1]
    return None if document is None else document.revision


@pytest.mark.parametrize("verdict", [POLICY, DENIED], ids=["policy", "registry"])
def test_a_refused_document_is_told_by_its_name_and_the_old_revision_serves(verdict: Verdict) -> None:
    harness = on_revision_1()
    harness.verdict = verdict

    sha256 = refer(harness)

    assert verdict.refusal is not None
    status = said(harness)
    assert (status.state, status.revision, status.code) == ("FAILED", 1, verdict.refusal.code)
    assert (status.message, status.wanted_sha256) == (verdict.refusal.message, sha256)
    assert status.refused == RefusedDocument(
        sha256=sha256,
        deployment_id=harness.looked_into[-1][0].deployment_id,
        revision=2,
        code=verdict.refusal.code,
        message=verdict.refusal.message,
    )
    assert followed(harness) == 1
    assert [a.name for a in harness.reports()[-1].applications] == ["web"]


def test_on_a_device_that_has_no_document_yet_a_refused_one_touches_nothing() -> None:
    harness = AgentHarness()
    harness.verdict = POLICY
    harness.start()

    refer(harness)

    status = said(harness)
    assert (status.state, status.code, status.revision) == ("FAILED", "policy-refused", None)
    assert harness.containers.desired == [None]
    assert "desired.json" not in harness.state.files


def test_a_document_is_followed_only_once_its_verdict_is_there_and_supervision_goes_on_meanwhile() -> None:
    harness = on_revision_1()
    harness.verdicts_come = False

    refer(harness)
    passes = harness.containers.passes
    harness.turns(ANSWER_S / 2)
    assert (said(harness).state, followed(harness)) == ("CONVERGING", 1)
    assert harness.containers.passes > passes + 2
    harness.deliver(Examined(2, FINE))

    assert (said(harness).state, followed(harness)) == ("CONVERGED", 2)


@pytest.mark.parametrize("verdict", [None, NOBODY_KNOWS], ids=["fault", "unknown"])
def test_neither_a_fault_of_ours_nor_a_silent_registry_refuses(verdict: Verdict | None) -> None:
    harness = on_revision_1()
    harness.verdict = verdict

    refer(harness)

    assert (said(harness).state, followed(harness)) == ("CONVERGED", 2)


def test_a_verdict_that_does_not_come_refuses_nothing_and_counts_no_more_when_it_comes() -> None:
    harness = on_revision_1()
    harness.verdicts_come = False
    refer(harness)

    harness.turns(ANSWER_S + 1.0)
    assert followed(harness) == 2
    harness.deliver(Examined(2, POLICY))

    assert (said(harness).state, said(harness).refused, followed(harness)) == ("CONVERGED", None, 2)


def test_a_verdict_of_a_document_that_nobody_refers_to_any_more_counts_for_no_other() -> None:
    harness = on_revision_1()
    harness.verdicts_come = False
    refer(harness, 2)
    refer(harness, 3)

    harness.deliver(Examined(2, POLICY))
    assert said(harness).state == "CONVERGING"
    harness.deliver(Examined(3, FINE))

    assert (said(harness).state, followed(harness)) == ("CONVERGED", 3)


def test_what_time_may_change_is_looked_into_again_with_back_off_and_then_followed() -> None:
    harness = on_revision_1()
    harness.verdict = DENIED
    refer(harness)
    asked = len(harness.looked_into)

    harness.turns(3600.0)
    tries = len(harness.looked_into) - asked
    assert 8 <= tries <= 12  # every ten minutes in the end
    harness.verdict = FINE
    harness.turns(600.0)

    assert (said(harness).state, said(harness).refused, followed(harness)) == ("CONVERGED", None, 2)


def test_what_only_another_document_or_policy_changes_is_not_looked_into_again() -> None:
    harness = on_revision_1()
    harness.verdict = POLICY
    refer(harness)
    asked = len(harness.looked_into)

    harness.turns(3600.0)
    assert len(harness.looked_into) == asked
    harness.verdict = FINE
    refer(harness, 3)

    assert (said(harness).state, said(harness).refused, followed(harness)) == ("CONVERGED", None, 3)


def test_a_changed_policy_judges_a_refused_document_anew_without_a_restart() -> None:
    harness = on_revision_1()
    harness.verdict = POLICY
    refer(harness)

    harness.verdict = FINE
    harness.configure(policy={"privileged": True})

    assert harness.looked_into[-1][1].privileged
    assert harness.containers.policies[-1].privileged
    assert (said(harness).state, followed(harness)) == ("CONVERGED", 2)


def test_a_policy_that_changes_while_a_document_is_looked_into_is_the_one_that_counts() -> None:
    harness = on_revision_1()
    harness.verdicts_come = False
    refer(harness)
    harness.configure(policy={"privileged": True})

    harness.deliver(Examined(2, POLICY))  # by the old one
    assert said(harness).refused is None
    harness.deliver(Examined(3, FINE))

    assert followed(harness) == 2


def test_going_back_to_the_document_in_force_ends_a_refusal_at_once() -> None:
    harness = on_revision_1()
    harness.verdict = POLICY
    refer(harness, 2)

    refer(harness, 1)

    assert (said(harness).state, said(harness).code, said(harness).refused) == ("CONVERGED", None, None)


def test_a_restart_judges_again_and_tells_the_refusal_meanwhile() -> None:
    harness = on_revision_1()
    harness.verdict = POLICY
    sha256 = refer(harness)
    harness.verdicts_come = False

    harness.start()
    status = said(harness)
    assert (status.state, status.code, status.wanted_sha256) == ("FAILED", "policy-refused", sha256)
    assert followed(harness) == 1
    harness.deliver(Examined(1, FINE))

    assert followed(harness) == 2


@pytest.mark.parametrize("verdict", [None, NOBODY_KNOWS], ids=["fault", "unknown"])
def test_what_was_refused_is_not_followed_because_a_registry_is_silent_now_nor_after_a_restart(
    verdict: Verdict | None,
) -> None:
    harness = on_revision_1()
    harness.verdict = DENIED
    refer(harness)

    harness.verdict = verdict
    harness.turns(120.0)
    harness.start()
    harness.turns(120.0)
    assert (said(harness).code, followed(harness)) == ("registry-denied", 1)
    harness.verdict = Verdict(unknown=frozenset({"an image that had nothing to do with it"}))
    harness.turns(600.0)

    assert followed(harness) == 2


def test_a_document_that_is_in_force_is_not_looked_into_at_a_start() -> None:
    harness = on_revision_1()
    asked = len(harness.looked_into)
    harness.verdict = POLICY

    harness.start()

    assert len(harness.looked_into) == asked
    assert (said(harness).state, followed(harness)) == ("CONVERGED", 1)


def test_a_broken_file_of_the_refusal_is_set_aside_and_a_full_disk_refuses_all_the_same() -> None:
    harness = on_revision_1()
    harness.state.files[FILE] = b"\x00"
    harness.start()
    assert harness.state.aside == {FILE: b"\x00"}

    harness.state.full = True
    harness.verdict = POLICY
    refer(harness)

    assert (said(harness).code, followed(harness)) == ("policy-refused", 1)


def test_a_refusal_hides_neither_behind_a_configuration_that_is_no_good_nor_fits_no_report() -> None:
    harness = on_revision_1()
    harness.verdict = Verdict(PreflightRefusal("policy-refused", "ü" * 5_000, lasting=True))

    refer(harness, heartbeat_s="often")

    status = said(harness)
    assert status.code == "policy-refused"
    assert status.refused is not None
    assert len(status.refused.message.encode()) <= 400


def test_since_tells_when_the_code_began_to_hold_and_stays_while_it_does() -> None:
    harness = on_revision_1()
    assert said(harness).since is None
    harness.verdict = POLICY
    began = harness.clock.date
    refer(harness)
    first = said(harness).since

    harness.turns(600.0)
    assert first is not None
    assert (first - began).total_seconds() < 5.0
    assert said(harness).since == first
    harness.verdict = DENIED
    refer(harness, 3)

    assert said(harness).since not in (None, first)


def test_since_follows_a_clock_that_was_set() -> None:
    harness = on_revision_1()
    harness.clock.date = harness.clock.date.replace(year=1970)
    harness.verdict = POLICY
    refer(harness)
    harness.turns(100.0)

    harness.clock.date = harness.clock.date.replace(year=2026)
    harness.turns(100.0)

    since = said(harness).since
    assert since is not None
    assert 190.0 < (harness.clock.date - since).total_seconds() < 260.0
