"""Deployments to groups of a known nucleus: what each can have, whose time values merge by, who validates."""

import json
from typing import Any

import pytest

from cloud.aws.errors import Unavailable
from cloud.domain.deployments.greengrass_components import (
    NUCLEUS,
    TIME_SOURCE,
    TOKEN_EXCHANGE,
    Components,
    lacks_time_source,
    merge,
    nucleus_before_time_source,
    reconfigured,
    upgrade,
)
from cloud.domain.deployments.validating_agents import validating, warnings_of
from contract.names import COMPONENT, Nucleus
from tests.support.cloud.api import FakeDevices, a_device, body_of
from tests.support.cloud.deploying import ENROLLED, ENROLLED_EARLIER, DeploymentHarness

LOGS = "aws.greengrass.LogManager"
OLD: dict[str, Any] = {"agent_version": "0.9.0", "level": 0}


def a_harness(*, enrolled: Components = ENROLLED_EARLIER, **device: Any) -> DeploymentHarness:
    return DeploymentHarness(
        enrolled=enrolled, devices=FakeDevices([a_device("r-1", **device), a_device("r-2")])
    )


def components_of(harness: DeploymentHarness) -> Components:
    latest = harness.greengrass.latest(harness.arn)
    assert latest is not None
    return latest.components


def nucleus_of(components: Components) -> Any:
    return json.loads(components[NUCLEUS]["configurationUpdate"]["merge"])


def configured(version: str = "2.18.0", **values: object) -> dict[str, Any]:
    return {"componentVersion": version, "configurationUpdate": {"merge": json.dumps(values)}}


def test_a_deployment_to_a_classic_group_has_values_merged_by_the_time_of_its_processing() -> None:
    harness = a_harness(agent_version="1.0.0", level=1)

    body = body_of(harness.post())

    assert nucleus_of(components_of(harness)) == {**TIME_SOURCE, "interpolateComponentConfiguration": True}
    assert body["warnings"] == []


def test_the_agent_runs_as_root_whatever_else_it_is_run_with() -> None:
    limited = ENROLLED | {
        COMPONENT: {**ENROLLED[COMPONENT], "runWith": {"systemResourceLimits": {"cpus": 1.0}}}
    }
    harness = a_harness(enrolled=limited)
    harness.post()

    run_with = components_of(harness)[COMPONENT]["runWith"]
    assert run_with == {"posixUser": "root", "systemResourceLimits": {"cpus": 1.0}}


def test_with_an_agent_that_validates_the_nucleus_stays_as_it_is_and_the_cure_is_said() -> None:
    harness = a_harness(**OLD)

    (warning,) = body_of(harness.post())["warnings"]

    assert components_of(harness)[NUCLEUS] == ENROLLED_EARLIER[NUCLEUS]
    assert "r-1" in warning
    assert "python -m cloud upgrade-agent --group line-3" in warning


def test_sweep_decides_by_the_devices_as_the_post_does() -> None:
    harness = a_harness(**OLD)
    harness.greengrass.broken = Unavailable("throttled")
    harness.post()
    harness.greengrass.broken = None
    harness.clock.advance(61)

    assert harness.sweep() == 1
    assert components_of(harness)[NUCLEUS] == ENROLLED_EARLIER[NUCLEUS]


@pytest.mark.parametrize(
    ("device", "asked"),
    [
        ({"agent_version": "0.9.0", "level": 0}, ["r-1"]),
        ({"agent_version": "0.8.0", "level": 0}, []),  # gets another version with it, so nobody is asked
        ({"agent_version": "0.9.0", "level": 1}, []),
        ({"agent_version": None, "level": 0}, []),  # has no agent yet
    ],
)
def test_an_agent_is_asked_while_it_validates_and_stays_at_its_version(
    device: dict[str, Any], asked: list[str]
) -> None:
    assert validating([a_device("r-1", **device)], "0.9.0") == asked


def test_what_others_configured_meanwhile_is_named_to_whoever_deploys_on_top() -> None:
    before = ENROLLED | {LOGS: configured("2.3.0", level="INFO")}
    harness = a_harness(enrolled=before, **OLD)
    harness.post()
    harness.greengrass.revise(
        harness.arn, {**components_of(harness), LOGS: configured("2.3.0", level="DEBUG")}
    )

    (warning,) = body_of(harness.post())["warnings"]

    assert warning.startswith(f"{LOGS} was configured by others")
    assert "r-1" in warning
    assert body_of(harness.post())["warnings"] == []  # ours is the latest now


def test_nobody_is_warned_of_others_where_no_agent_validates() -> None:
    harness = a_harness(enrolled=ENROLLED | {LOGS: configured("2.3.0", a=1)}, agent_version="0.9.0", level=1)
    harness.post()
    harness.greengrass.revise(harness.arn, {**components_of(harness), LOGS: configured("2.3.0", a=2)})

    assert body_of(harness.post())["warnings"] == []


def test_a_nucleus_too_old_to_know_the_setting_is_told_of() -> None:
    old = {COMPONENT: {"componentVersion": "1.0.0"}, NUCLEUS: configured("2.14.3", **TIME_SOURCE)}

    (warning,) = warnings_of(old, None, [], group="line-3")

    assert "2.14.3" in warning
    assert "2.15.0" in warning


@pytest.mark.parametrize(
    ("version", "too_old"),
    [("2.14.3", "2.14.3"), ("2.9.6", "2.9.6"), ("2.15.0", None), ("2.18.2-SNAPSHOT", None), ("3.0.0", None)],
)
def test_the_lowest_nucleus_that_knows_the_setting_is_2_15_0(version: str, too_old: str | None) -> None:
    assert nucleus_before_time_source({NUCLEUS: {"componentVersion": version}}) == too_old


def test_a_group_that_names_no_classic_nucleus_lacks_nothing_and_gets_none() -> None:
    agent = {COMPONENT: {"componentVersion": "1.0.0"}}

    assert not lacks_time_source(agent)
    assert nucleus_before_time_source(agent) is None
    assert merge(agent, document_uri="s3://b/d", agent_version="1", time_source=True).keys() == {COMPONENT}


def test_a_nucleus_configuration_that_nobody_can_read_is_left_alone_and_lacks_it() -> None:
    broken = {
        COMPONENT: {"componentVersion": "1"},
        NUCLEUS: configured() | {"configurationUpdate": {"merge": "["}},
    }

    assert lacks_time_source(broken)
    assert (
        merge(broken, document_uri="s3://b/d", agent_version="1", time_source=True)[NUCLEUS]
        == broken[NUCLEUS]
    )


@pytest.mark.parametrize(
    ("after", "named"),
    [
        (configured("1", a=1), ()),
        ({"componentVersion": "1", "configurationUpdate": {"merge": '{ "a" : 1 }', "reset": []}}, ()),
        (configured("1", a=2), (LOGS,)),
        ({"componentVersion": "1", "configurationUpdate": {"reset": ["/a"]}}, (LOGS,)),
        ({"componentVersion": "1"}, (LOGS,)),
        (configured("2", a=2), ()),  # of another version: it is not asked
    ],
)
def test_only_another_configuration_at_the_same_version_counts(after: Any, named: tuple[str, ...]) -> None:
    agents = {"componentVersion": "1"}, configured("1", heartbeat_s=5)
    before = {COMPONENT: agents[0], LOGS: configured("1", a=1), "only.before": configured("1")}

    assert reconfigured(before, {COMPONENT: agents[1], LOGS: after, "only.after": configured("1")}) == named


def test_an_upgrade_keeps_the_agents_configuration_and_every_other_component() -> None:
    pointed = merge(ENROLLED_EARLIER, document_uri="s3://b/d", agent_version="1", time_source=False)

    upgraded = upgrade(pointed, agent_version="2.0.0", time_source=True)

    assert upgraded[COMPONENT] == {**pointed[COMPONENT], "componentVersion": "2.0.0"}
    assert upgraded.keys() == pointed.keys()
    assert nucleus_of(upgraded) == {**TIME_SOURCE, "interpolateComponentConfiguration": True}


WITH_ROOTS = {**ENROLLED_EARLIER, TOKEN_EXCHANGE: configured("2.0.3")}


def test_classic_components_are_taken_out_of_a_group_of_lite_and_never_come_back() -> None:
    harness = a_harness(enrolled=WITH_ROOTS, **OLD)
    harness.groups.nuclei["line-3"] = Nucleus.LITE

    (warning,) = body_of(harness.post())["warnings"]

    assert components_of(harness).keys() == {COMPONENT}
    assert warning.startswith(f"{NUCLEUS} and {TOKEN_EXCHANGE} taken out")
    assert body_of(harness.post())["warnings"] == []
    assert components_of(harness).keys() == {COMPONENT}


@pytest.mark.parametrize("nucleus", [None, Nucleus.CLASSIC])
def test_they_stay_where_the_group_is_of_classic_or_nobody_knows(nucleus: Nucleus | None) -> None:
    harness = a_harness(enrolled=WITH_ROOTS)
    if nucleus is not None:
        harness.groups.nuclei["line-3"] = nucleus

    assert body_of(harness.post())["warnings"] == []
    assert components_of(harness).keys() == WITH_ROOTS.keys()


def test_sweep_takes_them_out_as_the_post_does() -> None:
    harness = a_harness(enrolled=WITH_ROOTS)
    harness.groups.nuclei["line-3"] = Nucleus.LITE
    harness.greengrass.broken = Unavailable("throttled")
    harness.post()
    harness.greengrass.broken = None
    harness.clock.advance(61)

    assert harness.sweep() == 1
    assert components_of(harness).keys() == {COMPONENT}


def test_who_deploys_is_warned_of_devices_of_the_other_nucleus() -> None:
    harness = a_harness(enrolled=ENROLLED, nucleus=Nucleus.LITE)
    assert body_of(harness.post())["warnings"] == []  # nobody knows what the group is of

    harness.groups.nuclei["line-3"] = Nucleus.CLASSIC
    (warning,) = body_of(harness.post())["warnings"]

    assert "r-1 said to have the other nucleus" in warning
