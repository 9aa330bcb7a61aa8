"""What the sweep and the reads see of a deployment: agents that it silenced, refusals, other documents."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cloud.aws.errors import Unavailable
from cloud.domain.deployments.lost_agents import WATCHED
from cloud.domain.devices.device import Device
from cloud.domain.devices.diagnosis_facts import Job
from cloud.functions.groups.list_groups import list_groups
from cloud.services.deployment_watch import ASKED_AT_ONCE, ASKED_IN_ALL
from cloud.tables.memberships import Memberships
from contract.documents import parse_document_uri
from tests.support.cloud.answers import served
from tests.support.cloud.api import NOW, FakeDevices, a_device, an_event, body_of
from tests.support.cloud.deploying import DeploymentHarness, a_wish
from tests.support.cloud.emf import emitted
from tests.support.cloud.fakes import FakeGroups
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, table_of

TARGET = "thinggroup/line-3"


@pytest.fixture
def harness() -> DeploymentHarness:
    """r-1, r-2 and r-3 are well, whatever time it is; the group has a deployment."""
    found = DeploymentHarness(devices=FakeDevices([well(name) for name in ("r-1", "r-2", "r-3")]))
    found.post()
    return found


def well(name: str, **changes: Any) -> Device:
    return a_device(name, **({"stale_at": NOW + timedelta(days=90)} | changes))


def silent(name: str, **changes: Any) -> Device:
    """Heard for the last time a minute after NOW, when the deployment was made."""
    heard = NOW + timedelta(minutes=1)
    return well(name, **({"last_report_at": heard, "stale_at": heard + timedelta(minutes=3)} | changes))


def put(harness: DeploymentHarness, *devices: Device) -> None:
    harness.devices.rows |= {device.name: device for device in devices}


def deployment(harness: DeploymentHarness) -> str:
    return next(harness.deployments.newest_first(TARGET)).id


def swept(harness: DeploymentHarness, minutes: float = 10) -> None:
    for _ in range(int(minutes)):
        harness.clock.advance(60)
        harness.sweep()


def noted(harness: DeploymentHarness) -> tuple[str | None, str | None, int]:
    row = harness.deployments.get(deployment(harness))
    assert row is not None
    return row.code, row.message, row.agents_lost


def shown(harness: DeploymentHarness) -> tuple[str | None, str | None]:
    body = body_of(harness.get(deployment(harness)))
    return body.get("code"), body.get("message")


def outcomes(harness: DeploymentHarness) -> dict[str, tuple[str, str | None]]:
    body = body_of(harness.get(deployment(harness)))
    return {each["device"]: (each["state"], each.get("code")) for each in body["devices"]}


def listed(harness: DeploymentHarness) -> dict[str, Any]:
    memory = MemoryDynamoDB()
    memory.create_table(**table_of("DevicesTable"))
    members = Memberships(memory, table_of("DevicesTable")["TableName"])
    entry = served(
        lambda r: list_groups(
            r, registry=FakeGroups(("line-3",)), devices=members, deployments=harness.deployments
        ),
        route="GET /groups",
    )
    (group,) = body_of(entry(an_event("GET /groups"), None))["groups"]
    found: dict[str, Any] = group
    return found


LOST = "1 of 3 devices is connected and its agent is silent since this deployment: r-2"


@pytest.mark.parametrize("succeeded", [False, True])
def test_agents_that_a_deployment_silenced_are_told_by_it_by_its_group_and_by_an_alarm(
    harness: DeploymentHarness, succeeded: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if succeeded:  # the version that dies said that all runs, and then died
        for name in ("r-1", "r-2", "r-3"):
            harness.reports(deployment(harness), name, "RUNNING")
    swept(harness, 2)
    assert (shown(harness), noted(harness)) == ((None, None), (None, None, 0))
    put(harness, silent("r-2"))
    harness.clock.advance(240)
    assert shown(harness) == ("agent-lost", LOST)  # a read waits for no sweep

    swept(harness)

    assert noted(harness) == ("agent-lost", LOST, 1)
    told = listed(harness)["trouble"]
    assert (told["code"], told["message"]) == ("agent-lost", LOST)
    assert told["deployment"] == deployment(harness)
    assert emitted(capsys) == {"agents_lost": [1]}  # once, however often it is looked at

    put(harness, silent("r-1"))
    swept(harness)
    assert noted(harness)[0::2] == ("agent-lost", 2)
    assert "2 of 3 devices are connected and their agent is silent" in str(noted(harness)[1])
    assert emitted(capsys) == {"agents_lost": [1]}

    put(harness, well("r-1"), well("r-2"))
    assert shown(harness) == (None, None)
    swept(harness)
    assert noted(harness) == (None, None, 0)
    assert "trouble" not in listed(harness)


def test_devices_that_are_away_or_were_silent_before_are_nobodys_loss(harness: DeploymentHarness) -> None:
    gone = {"connected": False, "connected_since": None, "offline_since": NOW}
    before = NOW - timedelta(minutes=5)
    put(harness, silent("r-1", **gone), silent("r-2", last_report_at=before, stale_at=before))

    swept(harness)

    assert noted(harness) == (None, None, 0)


def test_a_deployment_that_all_run_is_watched_for_a_day_and_longer_while_agents_are_lost(
    harness: DeploymentHarness,
) -> None:
    def days() -> float:
        """How long it is still looked at."""
        begin = harness.clock.now
        while list(harness.deployments.due(harness.clock.now + timedelta(days=90))):
            harness.clock.advance(600)
            harness.sweep()
            if harness.clock.now - begin > timedelta(days=3):
                break
        return (harness.clock.now - begin) / timedelta(days=1)

    for name in ("r-1", "r-2", "r-3"):
        harness.reports(deployment(harness), name, "RUNNING")
    put(harness, silent("r-2"))
    assert days() > 3
    put(harness, well("r-2"))
    assert days() < 1
    assert harness.clock.now - NOW > WATCHED


def test_one_that_another_took_the_place_of_is_not_watched_and_silences_nobody(
    harness: DeploymentHarness,
) -> None:
    first = deployment(harness)
    for name in ("r-1", "r-2", "r-3"):
        harness.reports(first, name, "RUNNING")
    swept(harness, 2)
    harness.post(a_wish(reason="again"))
    put(harness, silent("r-2", last_report_at=NOW - timedelta(hours=1), stale_at=harness.clock.now))

    swept(harness)

    row = harness.deployments.get(first)
    assert row is not None
    assert (row.state.value, row.code) == ("SUCCEEDED", None)
    assert first not in [each.id for each in harness.deployments.due(harness.clock.now + timedelta(days=9))]


def test_a_new_agent_version_that_brings_an_old_deployment_along_silences_agents_by_it(
    harness: DeploymentHarness,
) -> None:
    for name in ("r-1", "r-2", "r-3"):
        harness.reports(deployment(harness), name, "RUNNING")
    swept(harness, 2)
    harness.clock.advance(30 * 24 * 3600)
    harness.sweep()
    row = harness.deployments.get(deployment(harness))
    assert row is not None
    harness.deployments.carried_by(row, greengrass_id="gg-2", job_id=None, now=harness.clock.now)
    put(
        harness,
        silent("r-2", last_report_at=harness.clock.now, stale_at=harness.clock.now + timedelta(minutes=3)),
    )

    swept(harness)

    assert noted(harness) == ("agent-lost", LOST, 1)


def rolls_the_agent_back(harness: DeploymentHarness) -> None:
    """As operations.md has it: ``upgrade-agent`` with the version before."""
    row = harness.deployments.get(deployment(harness))
    assert row is not None
    assert harness.deployments.carried_by(row, greengrass_id="gg-9", job_id=None, now=harness.clock.now)


def deploys_another(harness: DeploymentHarness) -> None:
    assert harness.post(a_wish(reason="the one before"))["statusCode"] == 201


@pytest.mark.parametrize("cure", [rolls_the_agent_back, deploys_another])
@pytest.mark.parametrize("minutes", [2, 10, 3 * 24 * 60])  # before it was noted, and after
def test_what_is_deployed_to_cure_a_group_has_no_silent_agent_forgotten(
    harness: DeploymentHarness,
    minutes: int,
    cure: Callable[[DeploymentHarness], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    harness.clock.advance(30 * 24 * 3600)
    row = harness.deployments.get(deployment(harness))
    assert row is not None
    harness.deployments.carried_by(row, greengrass_id="gg-2", job_id=None, now=harness.clock.now)
    heard = harness.clock.now + timedelta(seconds=30)
    for _ in range(min(minutes, 10)):
        put(harness, silent("r-2", last_report_at=heard, stale_at=heard + timedelta(minutes=3)))
        swept(harness, 1)
    harness.clock.advance(60 * (minutes - min(minutes, 10)))

    cure(harness)
    swept(harness, 10)

    assert noted(harness)[0::2] == ("agent-lost", 1)
    by = "this deployment" if minutes == 2 else "this one or one before it"  # it was not overdue yet
    assert f"since {by}: r-2" in str(noted(harness)[1])
    assert shown(harness) == noted(harness)[:2]
    assert emitted(capsys) == {"agents_lost": [1]}  # once, whatever was deployed since
    harness.clock.advance(40 * 24 * 3600)
    cure(harness)
    swept(harness, 10)
    assert noted(harness)[0::2] == ("agent-lost", 1)  # nobody was there to mend it
    put(harness, well("r-2"))
    swept(harness, 10)
    assert noted(harness) == (None, None, 0)


def test_who_falls_silent_later_than_a_day_after_any_deployment_is_nobodys_loss(
    harness: DeploymentHarness,
) -> None:
    put(harness, silent("r-2"))
    swept(harness, 10)
    harness.clock.advance(10 * 24 * 3600)
    between = NOW + timedelta(days=5)
    put(harness, silent("r-3", last_report_at=between, stale_at=between + timedelta(minutes=3)))
    deploys_another(harness)

    swept(harness, 10)

    assert noted(harness)[2] == 1  # r-2


def test_the_moments_that_are_watched_stay_few_and_find_whom_all_of_them_find(
    harness: DeploymentHarness,
) -> None:
    """A lost agent in a group that is deployed to every hour."""
    put(harness, silent("r-2"))
    swept(harness, 10)
    for _ in range(100):
        harness.clock.advance(3600)
        deploys_another(harness)
        swept(harness, 2)
        row = harness.deployments.get(deployment(harness))
        assert row is not None
        assert len(row.watched_at) <= 4
        assert noted(harness)[2] == 1


def refuses(harness: DeploymentHarness, *names: str, code: str = "policy-forbids") -> None:
    for name in names:
        harness.reports(
            deployment(harness), name, "FAILED", code=code, message="not allowed here", refused=True
        )


def test_a_deployment_that_every_device_refused_says_so_and_stays_active(harness: DeploymentHarness) -> None:
    refuses(harness, "r-1", "r-2")
    swept(harness)
    assert noted(harness)[0] is None  # one may still take it

    refuses(harness, "r-3", code="disk-full")
    told = (
        "refused-by-all",
        "3 of 3 devices refused it, 2 of them for this: policy-forbids: not allowed here",
    )
    assert shown(harness) == told
    swept(harness)

    assert noted(harness)[:2] == told
    body = body_of(harness.get(deployment(harness)))
    assert (body["state"], body["counts"]["FAILED"]) == ("ACTIVE", 3)
    assert all(each["refused"] for each in body["devices"])
    harness.reports(deployment(harness), "r-3", "RUNNING", sequence=2)
    swept(harness)
    assert noted(harness)[0] is None


def test_applications_that_failed_everywhere_are_no_refusal(harness: DeploymentHarness) -> None:
    for name in ("r-1", "r-2", "r-3"):
        harness.reports(deployment(harness), name, "FAILED", application="web", code="crash-loop")

    swept(harness)

    assert noted(harness)[0] is None


def ends(
    harness: DeploymentHarness,
    *names: str,
    status: str = "FAILED",
    reason: str = "configuration validation: no",
) -> None:
    greengrass_id = next(harness.deployments.newest_first(TARGET)).greengrass_id
    assert greengrass_id is not None
    for name in names:
        harness.greengrass.jobs[name, greengrass_id] = Job(status, reason, harness.clock.now)


def test_what_devices_refused_by_failing_their_jobs_reaches_the_deployment(
    harness: DeploymentHarness,
) -> None:
    """As agents do that validate: they say nothing of the deployment."""
    ends(harness, "r-1", "r-2", "r-3")

    swept(harness, 3)

    assert set(outcomes(harness).values()) == {("FAILED", "validation-rejected")}
    code, message = shown(harness)
    assert code == "refused-by-all"
    assert "3 of 3 devices refused it: validation-rejected" in str(message)
    asked = len(harness.greengrass.asked)
    swept(harness, 60)
    assert len(harness.greengrass.asked) == asked  # who is known is not asked for again
    harness.reports(deployment(harness), "r-1", "RUNNING")
    assert outcomes(harness)["r-1"] == ("RUNNING", None)  # what it says itself counts more


@pytest.mark.parametrize(
    ("status", "reason", "refused"),
    [
        ("FAILED", "FAILED_NO_STATE_CHANGE: no such artifact", True),
        ("FAILED", "FAILED_ROLLBACK_COMPLETE: broken", True),
        ("REJECTED", "older than what it has", True),
        ("FAILED", "FAILED_UNABLE_TO_ROLLBACK: broken", False),
        ("FAILED", "FAILED_ROLLBACK_NOT_REQUESTED: broken", False),
        ("TIMED_OUT", "", False),  # it may be at it still
    ],
)
def test_a_job_is_a_refusal_where_the_device_has_what_it_had_before(
    harness: DeploymentHarness, status: str, reason: str, refused: bool
) -> None:
    ends(harness, "r-1", "r-2", "r-3", status=status, reason=reason)

    swept(harness, 3)

    assert {state for state, _ in outcomes(harness).values()} == {"FAILED"}
    assert (shown(harness)[0] == "refused-by-all") is refused


def test_what_a_device_works_on_counts_more_than_how_its_job_ended(harness: DeploymentHarness) -> None:
    ends(harness, "r-1", "r-2", "r-3")
    swept(harness, 3)
    made = deployment(harness)
    put(harness, follows("r-1", made), follows("r-2", made, state="CONVERGING"))

    assert outcomes(harness) == {
        "r-1": ("RUNNING", None), "r-2": ("IN_PROGRESS", None), "r-3": ("FAILED", "validation-rejected"),
    }  # fmt: skip
    assert shown(harness)[0] is None
    assert "of_job" not in harness.get(made)["body"]


@pytest.mark.parametrize("status", ["QUEUED", "IN_PROGRESS", "SUCCEEDED", "CANCELED", "REMOVED"])
def test_a_job_that_did_not_fail_says_nothing_of_the_outcome(harness: DeploymentHarness, status: str) -> None:
    ends(harness, "r-1", "r-2", "r-3", status=status)

    swept(harness, 3)

    assert set(outcomes(harness).values()) == {("PENDING", None)}


def test_greengrass_is_asked_for_a_few_at_a_look_and_in_the_end_for_all_that_said_nothing(
    harness: DeploymentHarness,
) -> None:
    names = [f"s-{number:03d}" for number in range(95)]
    put(harness, *map(well, names))
    harness.reports(deployment(harness), "r-1", "RUNNING")
    looks = []
    for _ in range(240):
        before = len(harness.greengrass.asked)
        swept(harness, 1)
        looks.append(len(harness.greengrass.asked) - before)

    assert max(looks) == ASKED_AT_ONCE < ASKED_IN_ALL
    assert set(harness.greengrass.asked) == {*names, "r-2", "r-3"}


def test_of_500_devices_all_are_asked_for_however_rarely_the_deployment_is_looked_at(
    harness: DeploymentHarness,
) -> None:
    names = {f"s-{number:03d}" for number in range(500)}
    put(harness, *map(well, names))
    harness.reports(deployment(harness), "r-1", "RUNNING")
    for _ in range(60):  # from look to look, whenever the next one is due
        (row,) = harness.deployments.due(harness.clock.now + timedelta(days=1))
        assert row.due_at is not None
        harness.clock.advance((row.due_at - harness.clock.now).total_seconds())
        harness.sweep()

    assert set(harness.greengrass.asked) == {*names, "r-2", "r-3"}
    assert len(harness.greengrass.asked) == 60 * ASKED_AT_ONCE
    assert harness.clock.now - NOW < timedelta(days=2)
    harness.clock.advance(6 * 3600)
    begin = len(harness.greengrass.asked)
    harness.sweep()
    assert harness.greengrass.asked[begin:] != harness.greengrass.asked[:ASKED_AT_ONCE]  # on and on


def test_without_greengrass_the_rest_is_seen(
    harness: DeploymentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(device: str, greengrass_id: str) -> Job | None:
        raise Unavailable("throttled")

    monkeypatch.setattr(harness.greengrass, "on_device", broken)
    put(harness, silent("r-2"))

    swept(harness)

    assert noted(harness)[0] == "agent-lost"


def follows(name: str, document: str, **more: Any) -> Device:
    """A device that works, CONVERGED, on another document, and was heard just now."""
    desired = {"state": "CONVERGED", "deployment_id": document, "revision": 1, "target": TARGET} | more
    return well(name, desired=desired, last_report_at=NOW + timedelta(hours=1))


def test_a_device_that_follows_another_document_does_not_run_this_one_whatever_was_recorded(
    harness: DeploymentHarness,
) -> None:
    made, other = deployment(harness), "dep-00000000000000000000000001"
    for name in ("r-1", "r-2", "r-3"):
        harness.reports(made, name, "RUNNING")
    put(harness, follows("r-1", made), follows("r-2", other), well("r-3"))
    harness.clock.advance(7200)

    assert outcomes(harness)["r-1"] == ("RUNNING", None)
    assert outcomes(harness)["r-2"] == ("PENDING", "other-document")
    harness.sweep()
    assert body_of(harness.get(made))["state"] == "ACTIVE"

    put(harness, follows("r-2", made))
    harness.sweep()
    assert body_of(harness.get(made))["state"] == "SUCCEEDED"


def test_a_device_that_was_moved_and_kept_the_old_groups_document_says_which(
    harness: DeploymentHarness,
) -> None:
    put(harness, follows("r-2", "dep-00000000000000000000000001", target="thinggroup/line-4"))

    body = body_of(harness.get(deployment(harness)))

    (told,) = [each for each in body["devices"] if each["device"] == "r-2"]
    assert (told["state"], told["code"]) == ("PENDING", "other-document")
    assert told["message"] == "it follows revision 1 of thinggroup/line-4"


@pytest.mark.parametrize(
    ("code", "state"), [("desired-invalid", "FAILED"), ("no-credentials", "PENDING"), (None, "PENDING")]
)
def test_a_device_that_has_the_reference_and_not_the_document_says_why(
    harness: DeploymentHarness, code: str | None, state: str
) -> None:
    uri = next(harness.deployments.newest_first(TARGET)).document_uri
    wanted = {"wanted_sha256": parse_document_uri(uri)[2], "state": "FAILED"} | (
        {"code": code} if code else {}
    )
    put(
        harness,
        *(follows(name, "dep-00000000000000000000000001", **wanted) for name in ("r-1", "r-2", "r-3")),
    )

    assert outcomes(harness)["r-1"] == (state, code)
    assert (shown(harness)[0] == "refused-by-all") is (code == "desired-invalid")
