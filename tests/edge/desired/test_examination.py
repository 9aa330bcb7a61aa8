"""A device looks into a document before it follows it: what it refuses leaves the old revision serving."""

from typing import Any

import pytest

from contract.reports import DesiredStatus, RefusedDocument
from edge.desired.examination import ANSWER_S, FILE
from edge.events import Examined
from edge.preflight.verdict import FINE, PreflightRefusal, Verdict
from tests.support.edge.fakes import World

POLICY = Verdict(
    PreflightRefusal("policy-refused", "web: policy.privileged does not allow privileged", lasting=True)
)
DENIED = Verdict(PreflightRefusal("registry-denied", "web: answers 403", frozenset({"image"})))
NOBODY_KNOWS = Verdict(unknown=frozenset({"image"}))


def on_revision_1() -> World:
    """Return a device that follows revision 1 and was never refused anything."""
    world = World()
    world.start()
    world.configure(desired={"document_uri": world.publish_document("web")})
    return world


def refer(world: World, revision: int = 2, **values: Any) -> str:
    uri = world.publish_document("web", revision=revision)
    world.configure(desired={"document_uri": uri}, **values)
    return uri[-69:-5]


def said(world: World) -> DesiredStatus:
    desired = world.reports()[-1].desired
    assert desired is not None
    return desired


def followed(world: World) -> int | None:
    document = world.containers.desired[-1]
    return None if document is None else document.revision


@pytest.mark.parametrize("verdict", [POLICY, DENIED], ids=["policy", "registry"])
def test_a_refused_document_is_told_by_its_name_and_the_old_revision_serves(verdict: Verdict) -> None:
    world = on_revision_1()
    world.verdict = verdict

    sha256 = refer(world)

    assert verdict.refusal is not None
    status = said(world)
    assert (status.state, status.revision, status.code) == ("FAILED", 1, verdict.refusal.code)
    assert (status.message, status.wanted_sha256) == (verdict.refusal.message, sha256)
    assert status.refused == RefusedDocument(
        sha256=sha256,
        deployment_id=world.looked_into[-1][0].deployment_id,
        revision=2,
        code=verdict.refusal.code,
        message=verdict.refusal.message,
    )
    assert followed(world) == 1
    assert [a.name for a in world.reports()[-1].applications] == ["web"]


def test_on_a_device_that_has_no_document_yet_a_refused_one_touches_nothing() -> None:
    world = World()
    world.verdict = POLICY
    world.start()

    refer(world)

    status = said(world)
    assert (status.state, status.code, status.revision) == ("FAILED", "policy-refused", None)
    assert world.containers.desired == [None]
    assert "desired.json" not in world.state.files


def test_a_document_is_followed_only_once_its_verdict_is_there_and_supervision_goes_on_meanwhile() -> None:
    world = on_revision_1()
    world.verdicts_come = False

    refer(world)
    passes = world.containers.passes
    world.turns(ANSWER_S / 2)
    assert (said(world).state, followed(world)) == ("CONVERGING", 1)
    assert world.containers.passes > passes + 2
    world.deliver(Examined(2, FINE))

    assert (said(world).state, followed(world)) == ("CONVERGED", 2)


@pytest.mark.parametrize("verdict", [None, NOBODY_KNOWS], ids=["fault", "unknown"])
def test_neither_a_fault_of_ours_nor_a_silent_registry_refuses(verdict: Verdict | None) -> None:
    world = on_revision_1()
    world.verdict = verdict

    refer(world)

    assert (said(world).state, followed(world)) == ("CONVERGED", 2)


def test_a_verdict_that_does_not_come_refuses_nothing_and_counts_no_more_when_it_comes() -> None:
    world = on_revision_1()
    world.verdicts_come = False
    refer(world)

    world.turns(ANSWER_S + 1.0)
    assert followed(world) == 2
    world.deliver(Examined(2, POLICY))

    assert (said(world).state, said(world).refused, followed(world)) == ("CONVERGED", None, 2)


def test_a_verdict_of_a_document_that_nobody_refers_to_any_more_counts_for_no_other() -> None:
    world = on_revision_1()
    world.verdicts_come = False
    refer(world, 2)
    refer(world, 3)

    world.deliver(Examined(2, POLICY))
    assert said(world).state == "CONVERGING"
    world.deliver(Examined(3, FINE))

    assert (said(world).state, followed(world)) == ("CONVERGED", 3)


def test_what_time_may_change_is_looked_into_again_with_back_off_and_then_followed() -> None:
    world = on_revision_1()
    world.verdict = DENIED
    refer(world)
    asked = len(world.looked_into)

    world.turns(3600.0)
    tries = len(world.looked_into) - asked
    assert 8 <= tries <= 12  # every ten minutes in the end
    world.verdict = FINE
    world.turns(600.0)

    assert (said(world).state, said(world).refused, followed(world)) == ("CONVERGED", None, 2)


def test_what_only_another_document_or_policy_changes_is_not_looked_into_again() -> None:
    world = on_revision_1()
    world.verdict = POLICY
    refer(world)
    asked = len(world.looked_into)

    world.turns(3600.0)
    assert len(world.looked_into) == asked
    world.verdict = FINE
    refer(world, 3)

    assert (said(world).state, said(world).refused, followed(world)) == ("CONVERGED", None, 3)


def test_a_changed_policy_judges_a_refused_document_anew_without_a_restart() -> None:
    world = on_revision_1()
    world.verdict = POLICY
    refer(world)

    world.verdict = FINE
    world.configure(policy={"privileged": True})

    assert world.looked_into[-1][1].privileged
    assert world.containers.policies[-1].privileged
    assert (said(world).state, followed(world)) == ("CONVERGED", 2)


def test_a_policy_that_changes_while_a_document_is_looked_into_is_the_one_that_counts() -> None:
    world = on_revision_1()
    world.verdicts_come = False
    refer(world)
    world.configure(policy={"privileged": True})

    world.deliver(Examined(2, POLICY))  # by the old one
    assert said(world).refused is None
    world.deliver(Examined(3, FINE))

    assert followed(world) == 2


def test_going_back_to_the_document_in_force_ends_a_refusal_at_once() -> None:
    world = on_revision_1()
    world.verdict = POLICY
    refer(world, 2)

    refer(world, 1)

    assert (said(world).state, said(world).code, said(world).refused) == ("CONVERGED", None, None)


def test_a_restart_judges_again_and_tells_the_refusal_meanwhile() -> None:
    world = on_revision_1()
    world.verdict = POLICY
    sha256 = refer(world)
    world.verdicts_come = False

    world.start()
    status = said(world)
    assert (status.state, status.code, status.wanted_sha256) == ("FAILED", "policy-refused", sha256)
    assert followed(world) == 1
    world.deliver(Examined(1, FINE))

    assert followed(world) == 2


@pytest.mark.parametrize("verdict", [None, NOBODY_KNOWS], ids=["fault", "unknown"])
def test_what_was_refused_is_not_followed_because_a_registry_is_silent_now_nor_after_a_restart(
    verdict: Verdict | None,
) -> None:
    world = on_revision_1()
    world.verdict = DENIED
    refer(world)

    world.verdict = verdict
    world.turns(120.0)
    world.start()
    world.turns(120.0)
    assert (said(world).code, followed(world)) == ("registry-denied", 1)
    world.verdict = Verdict(unknown=frozenset({"an image that had nothing to do with it"}))
    world.turns(600.0)

    assert followed(world) == 2


def test_a_document_that_is_in_force_is_not_looked_into_at_a_start() -> None:
    world = on_revision_1()
    asked = len(world.looked_into)
    world.verdict = POLICY

    world.start()

    assert len(world.looked_into) == asked
    assert (said(world).state, followed(world)) == ("CONVERGED", 1)


def test_a_broken_file_of_the_refusal_is_set_aside_and_a_full_disk_refuses_all_the_same() -> None:
    world = on_revision_1()
    world.state.files[FILE] = b"\x00"
    world.start()
    assert world.state.aside == {FILE: b"\x00"}

    world.state.full = True
    world.verdict = POLICY
    refer(world)

    assert (said(world).code, followed(world)) == ("policy-refused", 1)


def test_a_refusal_hides_neither_behind_a_configuration_that_is_no_good_nor_fits_no_report() -> None:
    world = on_revision_1()
    world.verdict = Verdict(PreflightRefusal("policy-refused", "ü" * 5_000, lasting=True))

    refer(world, heartbeat_s="often")

    status = said(world)
    assert status.code == "policy-refused"
    assert status.refused is not None
    assert len(status.refused.message.encode()) <= 400


def test_since_tells_when_the_code_began_to_hold_and_stays_while_it_does() -> None:
    world = on_revision_1()
    assert said(world).since is None
    world.verdict = POLICY
    began = world.clock.date
    refer(world)
    first = said(world).since

    world.turns(600.0)
    assert first is not None
    assert (first - began).total_seconds() < 5.0
    assert said(world).since == first
    world.verdict = DENIED
    refer(world, 3)

    assert said(world).since not in (None, first)


def test_since_follows_a_clock_that_was_set() -> None:
    world = on_revision_1()
    world.clock.date = world.clock.date.replace(year=1970)
    world.verdict = POLICY
    refer(world)
    world.turns(100.0)

    world.clock.date = world.clock.date.replace(year=2026)
    world.turns(100.0)

    since = said(world).since
    assert since is not None
    assert 190.0 < (world.clock.date - since).total_seconds() < 260.0
