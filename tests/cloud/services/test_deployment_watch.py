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
from tests.support.cloud.deploying import World, a_wish
from tests.support.cloud.emf import emitted
from tests.support.cloud.fakes import FakeGroups
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, table_of

TARGET = "thinggroup/line-3"


@pytest.fixture
def world() -> World:
    """r-1, r-2 and r-3 are well, whatever time it is; the group has a deployment."""
    found = World(devices=FakeDevices([well(name) for name in ("r-1", "r-2", "r-3")]))
    found.post()
    return found


def well(name: str, **changes: Any) -> Device:
    return a_device(name, **({"stale_at": NOW + timedelta(days=90)} | changes))


def silent(name: str, **changes: Any) -> Device:
    """Heard for the last time a minute after NOW, when the deployment was made."""
    heard = NOW + timedelta(minutes=1)
    return well(name, **({"last_report_at": heard, "stale_at": heard + timedelta(minutes=3)} | changes))


def put(world: World, *devices: Device) -> None:
    world.devices.rows |= {device.name: device for device in devices}


def deployment(world: World) -> str:
    return next(world.deployments.newest_first(TARGET)).id


def swept(world: World, minutes: float = 10) -> None:
    for _ in range(int(minutes)):
        world.clock.advance(60)
        world.sweep()


def noted(world: World) -> tuple[str | None, str | None, int]:
    row = world.deployments.get(deployment(world))
    assert row is not None
    return row.code, row.message, row.agents_lost


def shown(world: World) -> tuple[str | None, str | None]:
    body = body_of(world.get(deployment(world)))
    return body.get("code"), body.get("message")


def outcomes(world: World) -> dict[str, tuple[str, str | None]]:
    body = body_of(world.get(deployment(world)))
    return {each["device"]: (each["state"], each.get("code")) for each in body["devices"]}


def listed(world: World) -> dict[str, Any]:
    memory = MemoryDynamoDB()
    memory.create_table(**table_of("DevicesTable"))
    members = Memberships(memory, table_of("DevicesTable")["TableName"])
    entry = served(
        lambda r: list_groups(
            r, registry=FakeGroups(("line-3",)), devices=members, deployments=world.deployments
        ),
        route="GET /groups",
    )
    (group,) = body_of(entry(an_event("GET /groups"), None))["groups"]
    found: dict[str, Any] = group
    return found


LOST = "1 of 3 devices is connected and its agent is silent since this deployment: r-2"


@pytest.mark.parametrize("succeeded", [False, True])
def test_agents_that_a_deployment_silenced_are_told_by_it_by_its_group_and_by_an_alarm(
    world: World, succeeded: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if succeeded:  # the version that dies said that all runs, and then died
        for name in ("r-1", "r-2", "r-3"):
            world.reports(deployment(world), name, "RUNNING")
    swept(world, 2)
    assert (shown(world), noted(world)) == ((None, None), (None, None, 0))
    put(world, silent("r-2"))
    world.clock.advance(240)
    assert shown(world) == ("agent-lost", LOST)  # a read waits for no sweep

    swept(world)

    assert noted(world) == ("agent-lost", LOST, 1)
    told = listed(world)["trouble"]
    assert (told["code"], told["message"]) == ("agent-lost", LOST)
    assert told["deployment"] == deployment(world)
    assert emitted(capsys) == {"agents_lost": [1]}  # once, however often it is looked at

    put(world, silent("r-1"))
    swept(world)
    assert noted(world)[0::2] == ("agent-lost", 2)
    assert "2 of 3 devices are connected and their agent is silent" in str(noted(world)[1])
    assert emitted(capsys) == {"agents_lost": [1]}

    put(world, well("r-1"), well("r-2"))
    assert shown(world) == (None, None)
    swept(world)
    assert noted(world) == (None, None, 0)
    assert "trouble" not in listed(world)


def test_devices_that_are_away_or_were_silent_before_are_nobodys_loss(world: World) -> None:
    gone = {"connected": False, "connected_since": None, "offline_since": NOW}
    before = NOW - timedelta(minutes=5)
    put(world, silent("r-1", **gone), silent("r-2", last_report_at=before, stale_at=before))

    swept(world)

    assert noted(world) == (None, None, 0)


def test_a_deployment_that_all_run_is_watched_for_a_day_and_longer_while_agents_are_lost(
    world: World,
) -> None:
    def days() -> float:
        """How long it is still looked at."""
        begin = world.clock.now
        while list(world.deployments.due(world.clock.now + timedelta(days=90))):
            world.clock.advance(600)
            world.sweep()
            if world.clock.now - begin > timedelta(days=3):
                break
        return (world.clock.now - begin) / timedelta(days=1)

    for name in ("r-1", "r-2", "r-3"):
        world.reports(deployment(world), name, "RUNNING")
    put(world, silent("r-2"))
    assert days() > 3
    put(world, well("r-2"))
    assert days() < 1
    assert world.clock.now - NOW > WATCHED


def test_one_that_another_took_the_place_of_is_not_watched_and_silences_nobody(world: World) -> None:
    first = deployment(world)
    for name in ("r-1", "r-2", "r-3"):
        world.reports(first, name, "RUNNING")
    swept(world, 2)
    world.post(a_wish(reason="again"))
    put(world, silent("r-2", last_report_at=NOW - timedelta(hours=1), stale_at=world.clock.now))

    swept(world)

    row = world.deployments.get(first)
    assert row is not None
    assert (row.state.value, row.code) == ("SUCCEEDED", None)
    assert first not in [each.id for each in world.deployments.due(world.clock.now + timedelta(days=9))]


def test_a_new_agent_version_that_brings_an_old_deployment_along_silences_agents_by_it(world: World) -> None:
    for name in ("r-1", "r-2", "r-3"):
        world.reports(deployment(world), name, "RUNNING")
    swept(world, 2)
    world.clock.advance(30 * 24 * 3600)
    world.sweep()
    row = world.deployments.get(deployment(world))
    assert row is not None
    world.deployments.carried_by(row, greengrass_id="gg-2", job_id=None, now=world.clock.now)
    put(world, silent("r-2", last_report_at=world.clock.now, stale_at=world.clock.now + timedelta(minutes=3)))

    swept(world)

    assert noted(world) == ("agent-lost", LOST, 1)


def rolls_the_agent_back(world: World) -> None:
    """As operations.md has it: ``upgrade-agent`` with the version before."""
    row = world.deployments.get(deployment(world))
    assert row is not None
    assert world.deployments.carried_by(row, greengrass_id="gg-9", job_id=None, now=world.clock.now)


def deploys_another(world: World) -> None:
    assert world.post(a_wish(reason="the one before"))["statusCode"] == 201


@pytest.mark.parametrize("cure", [rolls_the_agent_back, deploys_another])
@pytest.mark.parametrize("minutes", [2, 10, 3 * 24 * 60])  # before it was noted, and after
def test_what_is_deployed_to_cure_a_group_has_no_silent_agent_forgotten(
    world: World, minutes: int, cure: Callable[[World], None], capsys: pytest.CaptureFixture[str]
) -> None:
    world.clock.advance(30 * 24 * 3600)
    row = world.deployments.get(deployment(world))
    assert row is not None
    world.deployments.carried_by(row, greengrass_id="gg-2", job_id=None, now=world.clock.now)
    heard = world.clock.now + timedelta(seconds=30)
    for _ in range(min(minutes, 10)):
        put(world, silent("r-2", last_report_at=heard, stale_at=heard + timedelta(minutes=3)))
        swept(world, 1)
    world.clock.advance(60 * (minutes - min(minutes, 10)))

    cure(world)
    swept(world, 10)

    assert noted(world)[0::2] == ("agent-lost", 1)
    by = "this deployment" if minutes == 2 else "this one or one before it"  # it was not overdue yet
    assert f"since {by}: r-2" in str(noted(world)[1])
    assert shown(world) == noted(world)[:2]
    assert emitted(capsys) == {"agents_lost": [1]}  # once, whatever was deployed since
    world.clock.advance(40 * 24 * 3600)
    cure(world)
    swept(world, 10)
    assert noted(world)[0::2] == ("agent-lost", 1)  # nobody was there to mend it
    put(world, well("r-2"))
    swept(world, 10)
    assert noted(world) == (None, None, 0)


def test_who_falls_silent_later_than_a_day_after_any_deployment_is_nobodys_loss(world: World) -> None:
    put(world, silent("r-2"))
    swept(world, 10)
    world.clock.advance(10 * 24 * 3600)
    between = NOW + timedelta(days=5)
    put(world, silent("r-3", last_report_at=between, stale_at=between + timedelta(minutes=3)))
    deploys_another(world)

    swept(world, 10)

    assert noted(world)[2] == 1  # r-2


def test_the_moments_that_are_watched_stay_few_and_find_whom_all_of_them_find(world: World) -> None:
    """A lost agent in a group that is deployed to every hour."""
    put(world, silent("r-2"))
    swept(world, 10)
    for _ in range(100):
        world.clock.advance(3600)
        deploys_another(world)
        swept(world, 2)
        row = world.deployments.get(deployment(world))
        assert row is not None
        assert len(row.watched_at) <= 4
        assert noted(world)[2] == 1


def refuses(world: World, *names: str, code: str = "policy-forbids") -> None:
    for name in names:
        world.reports(deployment(world), name, "FAILED", code=code, message="not allowed here", refused=True)


def test_a_deployment_that_every_device_refused_says_so_and_stays_active(world: World) -> None:
    refuses(world, "r-1", "r-2")
    swept(world)
    assert noted(world)[0] is None  # one may still take it

    refuses(world, "r-3", code="disk-full")
    told = (
        "refused-by-all",
        "3 of 3 devices refused it, 2 of them for this: policy-forbids: not allowed here",
    )
    assert shown(world) == told
    swept(world)

    assert noted(world)[:2] == told
    body = body_of(world.get(deployment(world)))
    assert (body["state"], body["counts"]["FAILED"]) == ("ACTIVE", 3)
    assert all(each["refused"] for each in body["devices"])
    world.reports(deployment(world), "r-3", "RUNNING", sequence=2)
    swept(world)
    assert noted(world)[0] is None


def test_applications_that_failed_everywhere_are_no_refusal(world: World) -> None:
    for name in ("r-1", "r-2", "r-3"):
        world.reports(deployment(world), name, "FAILED", application="web", code="crash-loop")

    swept(world)

    assert noted(world)[0] is None


def ends(
    world: World, *names: str, status: str = "FAILED", reason: str = "configuration validation: no"
) -> None:
    greengrass_id = next(world.deployments.newest_first(TARGET)).greengrass_id
    assert greengrass_id is not None
    for name in names:
        world.greengrass.jobs[name, greengrass_id] = Job(status, reason, world.clock.now)


def test_what_devices_refused_by_failing_their_jobs_reaches_the_deployment(world: World) -> None:
    """As agents do that validate: they say nothing of the deployment."""
    ends(world, "r-1", "r-2", "r-3")

    swept(world, 3)

    assert set(outcomes(world).values()) == {("FAILED", "validation-rejected")}
    code, message = shown(world)
    assert code == "refused-by-all"
    assert "3 of 3 devices refused it: validation-rejected" in str(message)
    asked = len(world.greengrass.asked)
    swept(world, 60)
    assert len(world.greengrass.asked) == asked  # who is known is not asked for again
    world.reports(deployment(world), "r-1", "RUNNING")
    assert outcomes(world)["r-1"] == ("RUNNING", None)  # what it says itself counts more


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
    world: World, status: str, reason: str, refused: bool
) -> None:
    ends(world, "r-1", "r-2", "r-3", status=status, reason=reason)

    swept(world, 3)

    assert {state for state, _ in outcomes(world).values()} == {"FAILED"}
    assert (shown(world)[0] == "refused-by-all") is refused


def test_what_a_device_works_on_counts_more_than_how_its_job_ended(world: World) -> None:
    ends(world, "r-1", "r-2", "r-3")
    swept(world, 3)
    made = deployment(world)
    put(world, follows("r-1", made), follows("r-2", made, state="CONVERGING"))

    assert outcomes(world) == {
        "r-1": ("RUNNING", None), "r-2": ("IN_PROGRESS", None), "r-3": ("FAILED", "validation-rejected"),
    }  # fmt: skip
    assert shown(world)[0] is None
    assert "of_job" not in world.get(made)["body"]


@pytest.mark.parametrize("status", ["QUEUED", "IN_PROGRESS", "SUCCEEDED", "CANCELED", "REMOVED"])
def test_a_job_that_did_not_fail_says_nothing_of_the_outcome(world: World, status: str) -> None:
    ends(world, "r-1", "r-2", "r-3", status=status)

    swept(world, 3)

    assert set(outcomes(world).values()) == {("PENDING", None)}


def test_greengrass_is_asked_for_a_few_at_a_look_and_in_the_end_for_all_that_said_nothing(
    world: World,
) -> None:
    names = [f"s-{number:03d}" for number in range(95)]
    put(world, *map(well, names))
    world.reports(deployment(world), "r-1", "RUNNING")
    looks = []
    for _ in range(240):
        before = len(world.greengrass.asked)
        swept(world, 1)
        looks.append(len(world.greengrass.asked) - before)

    assert max(looks) == ASKED_AT_ONCE < ASKED_IN_ALL
    assert set(world.greengrass.asked) == {*names, "r-2", "r-3"}


def test_of_500_devices_all_are_asked_for_however_rarely_the_deployment_is_looked_at(world: World) -> None:
    names = {f"s-{number:03d}" for number in range(500)}
    put(world, *map(well, names))
    world.reports(deployment(world), "r-1", "RUNNING")
    for _ in range(60):  # from look to look, whenever the next one is due
        (row,) = world.deployments.due(world.clock.now + timedelta(days=1))
        assert row.due_at is not None
        world.clock.advance((row.due_at - world.clock.now).total_seconds())
        world.sweep()

    assert set(world.greengrass.asked) == {*names, "r-2", "r-3"}
    assert len(world.greengrass.asked) == 60 * ASKED_AT_ONCE
    assert world.clock.now - NOW < timedelta(days=2)
    world.clock.advance(6 * 3600)
    begin = len(world.greengrass.asked)
    world.sweep()
    assert world.greengrass.asked[begin:] != world.greengrass.asked[:ASKED_AT_ONCE]  # on and on


def test_without_greengrass_the_rest_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: str, greengrass_id: str) -> Job | None:
        raise Unavailable("throttled")

    monkeypatch.setattr(world.greengrass, "on_device", broken)
    put(world, silent("r-2"))

    swept(world)

    assert noted(world)[0] == "agent-lost"


def follows(name: str, document: str, **more: Any) -> Device:
    """A device that works, CONVERGED, on another document, and was heard just now."""
    desired = {"state": "CONVERGED", "deployment_id": document, "revision": 1, "target": TARGET} | more
    return well(name, desired=desired, last_report_at=NOW + timedelta(hours=1))


def test_a_device_that_follows_another_document_does_not_run_this_one_whatever_was_recorded(
    world: World,
) -> None:
    made, other = deployment(world), "dep-00000000000000000000000001"
    for name in ("r-1", "r-2", "r-3"):
        world.reports(made, name, "RUNNING")
    put(world, follows("r-1", made), follows("r-2", other), well("r-3"))
    world.clock.advance(7200)

    assert outcomes(world)["r-1"] == ("RUNNING", None)
    assert outcomes(world)["r-2"] == ("PENDING", "other-document")
    world.sweep()
    assert body_of(world.get(made))["state"] == "ACTIVE"

    put(world, follows("r-2", made))
    world.sweep()
    assert body_of(world.get(made))["state"] == "SUCCEEDED"


def test_a_device_that_was_moved_and_kept_the_old_groups_document_says_which(world: World) -> None:
    put(world, follows("r-2", "dep-00000000000000000000000001", target="thinggroup/line-4"))

    body = body_of(world.get(deployment(world)))

    (told,) = [each for each in body["devices"] if each["device"] == "r-2"]
    assert (told["state"], told["code"]) == ("PENDING", "other-document")
    assert told["message"] == "it follows revision 1 of thinggroup/line-4"


@pytest.mark.parametrize(
    ("code", "state"), [("desired-invalid", "FAILED"), ("no-credentials", "PENDING"), (None, "PENDING")]
)
def test_a_device_that_has_the_reference_and_not_the_document_says_why(
    world: World, code: str | None, state: str
) -> None:
    uri = next(world.deployments.newest_first(TARGET)).document_uri
    wanted = {"wanted_sha256": parse_document_uri(uri)[2], "state": "FAILED"} | (
        {"code": code} if code else {}
    )
    put(world, *(follows(name, "dep-00000000000000000000000001", **wanted) for name in ("r-1", "r-2", "r-3")))

    assert outcomes(world)["r-1"] == (state, code)
    assert (shown(world)[0] == "refused-by-all") is (code == "desired-invalid")
