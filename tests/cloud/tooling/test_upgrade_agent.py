"""A group's next agent version, on a deployments table in memory and a Greengrass that remembers."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cloud.aws.errors import NotFound
from cloud.domain.deployments.deployment import Deployment
from cloud.domain.deployments.greengrass import Submitted
from cloud.domain.deployments.greengrass_components import NUCLEUS, TIME_SOURCE, TOKEN_EXCHANGE, Components
from cloud.tooling.upgrade_agent import Clients, Upgraded, UpgradeRefused, upgrade_agent
from contract.names import COMPONENT, Nucleus
from tests.support.cloud.api import DEPLOYMENTS, NOW, FakeDevices, a_device, body_of
from tests.support.cloud.deploying import ENROLLED, ENROLLED_EARLIER, DeploymentHarness
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, table_of

OLD: dict[str, Any] = {"agent_version": "0.9.0", "level": 0}
AS_ROOT = {"posixUser": "root"}


class NoSuchGroup(Exception):
    """What boto3's client of AWS IoT raises."""


class Group:
    """line-3 and its others: who acts ``after_a_look`` at Greengrass, and ``meanwhile`` before it creates."""

    def __init__(self, enrolled: Components | None = ENROLLED_EARLIER, **device: Any) -> None:
        table: Any = MemoryDynamoDB()
        table.create_table(**table_of("DeploymentsTable") | {"TableName": DEPLOYMENTS})
        devices = FakeDevices([a_device("r-1", **(OLD | device)), a_device("r-2")])
        self.harness = DeploymentHarness(table, enrolled, devices=devices)
        self.meanwhile: list[Callable[[], object]] = []
        self.slept: list[float] = []
        self.after_a_look: list[Callable[[], object]] = []
        self.exceptions = SimpleNamespace(ResourceNotFoundException=NoSuchGroup)  # as boto3's client has them

    def latest(self, target_arn: str) -> Any:
        found = self.harness.greengrass.latest(target_arn)
        if self.after_a_look:
            self.after_a_look.pop()()
        return found

    def newest(self, component_arn: str) -> str | None:
        return self.harness.greengrass.newest(component_arn)

    def create(self, target_arn: str, **request: Any) -> Submitted:
        if self.meanwhile:
            self.meanwhile.pop()()
        return self.harness.greengrass.create(target_arn, **request)

    def describe_thing_group(self, *, thingGroupName: str) -> dict[str, Any]:
        if thingGroupName != "line-3":
            raise NoSuchGroup
        nucleus = self.harness.groups.nuclei.get(thingGroupName)
        attributes = {"nucleus": nucleus.value} if nucleus is not None else {}
        return {
            "thingGroupArn": self.harness.arn,
            "thingGroupProperties": {"attributePayload": {"attributes": attributes}},
        }

    def upgrade(self, version: str = "2.0.0", *, group: str = "line-3") -> Upgraded:
        ports: Any = self  # of Greengrass, the calls that an upgrade makes
        clients = Clients(self, ports, self.harness.deployments, self.harness.devices)
        return upgrade_agent(clients, group=group, version=version, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.harness.clock.advance(seconds)
        self.harness.sweep()

    def now(self) -> Components:
        latest = self.harness.greengrass.latest(self.harness.arn)
        assert latest is not None
        return latest.components


def test_the_agent_gets_its_version_the_nucleus_its_time_and_all_else_stays() -> None:
    group = Group()
    group.harness.post()
    before = group.now()

    done = group.upgrade()

    after = group.now()
    assert after.keys() == before.keys()
    assert after[COMPONENT] == {**before[COMPONENT], "componentVersion": "2.0.0", "runWith": AS_ROOT}
    merged = json.loads(after[NUCLEUS]["configurationUpdate"]["merge"])
    assert merged == {**TIME_SOURCE, "interpolateComponentConfiguration": True}
    assert (done.agent_version_before, done.agent_version) == ("0.9.0", "2.0.0")
    assert done.changed == (
        f"{COMPONENT} 0.9.0 becomes 2.0.0",
        f"{NUCLEUS} merges values by the time at which a device processes a deployment",
    )


def test_the_deployment_that_is_in_force_follows_to_what_carries_it_now() -> None:
    group = Group()
    made = body_of(group.harness.post())

    done = group.upgrade()

    row = group.harness.deployments.get(made["id"])
    assert row is not None
    assert (row.greengrass_id, row.state.value) == (done.greengrass_deployment_id, "ACTIVE")
    assert row.job_id == f"job-{row.greengrass_id}"
    assert body_of(group.harness.post())["warnings"] == []  # and nobody takes it for what others did


class Moving:
    """The deployments, of which ``row`` changes its state once, just before somebody says what carries it."""

    def __init__(self, group: Group, row: Deployment) -> None:
        self.deployments, self.clock, self.row = group.harness.deployments, group.harness.clock, row
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.deployments, name)

    def carried_by(self, deployment: Deployment, **more: Any) -> bool:
        self.tries += 1
        self.deployments.succeed(self.row, now=self.clock.now)
        return self.deployments.carried_by(deployment, **more)


def test_the_deployment_follows_though_its_state_changes_at_that_moment() -> None:
    group = Group()
    made = body_of(group.harness.post())["id"]
    row = group.harness.deployments.get(made)
    assert row is not None
    moving: Any = Moving(group, row)

    ports: Any = group
    upgrade_agent(Clients(group, ports, moving, group.harness.devices), group="line-3", version="2.0.0")

    after = group.harness.deployments.get(made)
    assert after is not None
    assert (after.state.value, after.greengrass_id) == ("SUCCEEDED", "gg-2")
    assert moving.tries == 2


def test_the_next_deployment_keeps_the_version() -> None:
    group = Group()
    group.upgrade()
    group.harness.post()

    assert group.now()[COMPONENT]["componentVersion"] == "2.0.0"


def test_a_group_that_nothing_is_desired_of_is_upgraded_too_and_then_there_is_nothing_to_do() -> None:
    group = Group()

    assert f"{COMPONENT} runs as root" in group.upgrade().changed
    with pytest.raises(UpgradeRefused, match="already"):
        group.upgrade()
    assert len(group.harness.greengrass.deployments[group.harness.arn]) == 2


def test_that_an_upgrade_of_a_group_without_a_revision_is_not_watched_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unwatched, watched = Group(), Group()
    watched.harness.post()

    assert (unwatched.upgrade().watched, watched.upgrade().watched) == (False, True)
    assert "silent agents of line-3 will not be noticed" in caplog.text


def test_a_run_that_died_before_the_row_followed_is_finished_by_the_next_one() -> None:
    group = Group()
    made = body_of(group.harness.post())
    done = group.upgrade()
    row = group.harness.deployments.get(made["id"])
    assert row is not None
    group.harness.deployments.carried_by(row, greengrass_id="gg-1", job_id="job-gg-1", now=NOW)

    with pytest.raises(UpgradeRefused, match="already"):
        group.upgrade()

    followed = group.harness.deployments.get(made["id"])
    assert followed is not None
    assert followed.greengrass_id == done.greengrass_deployment_id


def test_whoever_deploys_at_the_same_moment_keeps_what_they_deployed() -> None:
    group = Group()
    group.harness.post()
    group.meanwhile.append(group.harness.post)  # on top of what was read, and undone by what is made of that

    done = group.upgrade()

    newest = next(group.harness.deployments.newest_first("thinggroup/line-3"))
    assert newest.revision == 2
    assert group.harness.in_force()["desired"] == {"document_uri": newest.document_uri}
    assert group.now()[COMPONENT]["componentVersion"] == "2.0.0"
    assert newest.greengrass_id == done.greengrass_deployment_id


def test_what_others_deploy_between_the_looks_is_kept() -> None:
    group = Group()
    theirs = {**group.now(), "com.example.Theirs": {"componentVersion": "1.0.0"}}
    group.after_a_look.append(lambda: group.harness.greengrass.revise(group.harness.arn, theirs))

    group.upgrade()

    assert group.now().keys() == theirs.keys()
    assert group.now()[COMPONENT]["componentVersion"] == "2.0.0"


def test_a_deployment_that_undid_the_upgrade_is_upgraded_again() -> None:
    group = Group()
    group.harness.post()
    stale = group.now()

    def overlaps() -> None:
        """One that had read what was there before the upgrade, and is made after it."""
        group.harness.post()
        create = group.harness.greengrass.create

        def late(target_arn: str, **request: Any) -> Submitted:
            made = create(target_arn, **request)
            uri = next(group.harness.deployments.newest_first("thinggroup/line-3")).document_uri
            update = {"merge": json.dumps({"desired": {"document_uri": uri}})}
            group.harness.greengrass.revise(
                target_arn, {**stale, COMPONENT: {**stale[COMPONENT], "configurationUpdate": update}}
            )
            group.harness.greengrass.create = create  # type: ignore[method-assign]
            return made

        group.harness.greengrass.create = late  # type: ignore[method-assign]

    group.meanwhile.append(overlaps)

    done = group.upgrade()

    newest = next(group.harness.deployments.newest_first("thinggroup/line-3"))
    assert group.now()[COMPONENT]["componentVersion"] == "2.0.0"
    assert group.harness.in_force()["desired"] == {"document_uri": newest.document_uri}
    assert newest.greengrass_id == done.greengrass_deployment_id


def test_one_that_is_being_submitted_is_waited_for() -> None:
    group = Group()
    group.harness.gaps.die_at = None
    make, group.harness.greengrass.create = group.harness.greengrass.create, gone  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        group.harness.post()
    group.harness.greengrass.create = make  # type: ignore[method-assign]
    group.harness.clock.advance(50)

    group.upgrade()

    assert sum(group.slept) == 10  # then sweep has finished it
    assert group.harness.in_force()["desired"]


def gone(*_: object, **__: object) -> Submitted:
    raise SystemExit("the function ended here")


@pytest.mark.parametrize("version", ["0.9.0", "1.5.0"])
def test_a_version_at_which_a_device_would_fail_it_is_refused(version: str) -> None:
    group = Group(agent_version=version, level=0)

    with pytest.raises(UpgradeRefused, match="r-1 would fail it"):
        group.upgrade(version)

    assert len(group.harness.greengrass.deployments[group.harness.arn]) == 1


def test_without_a_change_of_the_nucleus_any_version_goes() -> None:
    assert Group(ENROLLED).upgrade("0.9.0").changed == (f"{COMPONENT} runs as root",)


@pytest.mark.parametrize(
    ("enrolled", "group", "said"),
    [
        (None, "line-3", "never deployed"),
        ({NUCLEUS: {"componentVersion": "2.18.0"}}, "line-3", "never deployed"),
        (ENROLLED, "line-4", 'no group "line-4"'),
    ],
)
def test_what_cannot_be_upgraded_is_said(enrolled: Components | None, group: str, said: str) -> None:
    with pytest.raises(UpgradeRefused, match=said):
        Group(enrolled).upgrade(group=group)


def test_without_a_version_the_newest_published_is_meant_and_said() -> None:
    group = Group()
    group.harness.greengrass.published[group.harness.account.component_arn(COMPONENT)] = ["1.4.0", "1.3.9"]

    assert group.upgrade("").agent_version == "1.4.0"
    assert group.now()[COMPONENT]["componentVersion"] == "1.4.0"


def test_where_no_version_is_published_nothing_is_deployed() -> None:
    group = Group()
    before = group.now()

    with pytest.raises(UpgradeRefused, match=r"no version of io\.fleetgrass\.Agent is published"):
        group.upgrade("")
    assert group.now() == before


def test_a_version_that_was_never_published_is_said_to_be() -> None:
    group = Group()
    group.harness.greengrass.broken = NotFound("CreateDeployment: ResourceNotFoundException")

    with pytest.raises(UpgradeRefused, match=r"is io.fleetgrass.Agent 2.0.0 published\?"):
        group.upgrade()


def test_what_a_group_of_lite_cannot_have_is_taken_out_also_without_another_version() -> None:
    group = Group({**ENROLLED_EARLIER, TOKEN_EXCHANGE: {"componentVersion": "2.0.3"}})
    group.harness.groups.nuclei["line-3"] = Nucleus.LITE

    done = group.upgrade("0.9.0")

    assert group.now().keys() == {COMPONENT}
    assert group.now()[COMPONENT]["componentVersion"] == "0.9.0"
    (*_, said) = done.changed
    assert said.startswith(f"{NUCLEUS} and {TOKEN_EXCHANGE} taken out")
    with pytest.raises(UpgradeRefused, match="nothing would change"):
        group.upgrade("0.9.0")
