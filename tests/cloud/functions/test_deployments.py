"""Creating a deployment and reading what became of it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.aws.errors import Refused
from cloud.domain.deployments.deployment import Pinned, diff
from cloud.domain.deployments.deployment_outcomes import (
    DeviceOutcome,
    OutcomeState,
    all_run,
    by_device,
    counts,
    outcome_of,
    refusal_of,
)
from cloud.domain.deployments.greengrass_components import ConfigurationUnreadable, carries, merge
from cloud.domain.deployments.image_references import PATTERN, parse_image
from contract.desired import Application, DesiredDocument
from contract.names import COMPONENT
from tests.support.cloud.api import NOW, FakeDevices, a_device, body_of
from tests.support.cloud.deploying import HOST, V1, V2, WEB, DeploymentHarness, a_wish


@pytest.fixture
def harness() -> DeploymentHarness:
    return DeploymentHarness()


def test_a_tag_becomes_a_digest_and_the_devices_are_pointed_at_the_document(
    harness: DeploymentHarness,
) -> None:
    answer = harness.post(a_wish({**WEB, "env": {"A": "1"}}, reason="new look"))

    body = body_of(answer)
    assert answer["statusCode"] == 201
    assert answer["headers"]["location"] == f"/deployments/{body['id']}"
    assert (body["revision"], body["state"]) == (1, "ACTIVE")
    assert body["applications"][0]["image"] == f"{HOST}/fleetgrass/hello@{V1}"
    assert body["diff"] == {"added": ["web"], "removed": [], "changed": [], "unchanged": []}
    uri = harness.in_force()["desired"]["document_uri"]
    document = DesiredDocument.from_json(harness.documents.stored[uri])
    assert (document.target, document.revision) == ("thinggroup/line-3", 1)
    assert document.deployment_id == body["id"]
    assert document.applications[0].image == f"{HOST}/fleetgrass/hello@{V1}"


def test_everything_else_that_the_target_has_stays_as_it_is(harness: DeploymentHarness) -> None:
    harness.post()
    latest = harness.greengrass.latest(harness.arn)
    assert latest is not None
    assert latest.components["aws.greengrass.Nucleus"] == (harness.enrolled or {})["aws.greengrass.Nucleus"]
    assert latest.components[COMPONENT]["componentVersion"] == "0.9.0"
    assert harness.in_force()["heartbeat_s"] == 5


def test_a_target_without_the_agent_gets_it_at_our_version() -> None:
    harness = DeploymentHarness(enrolled=None)
    harness.post()
    latest = harness.greengrass.latest(harness.arn)
    assert latest is not None
    assert latest.components[COMPONENT]["componentVersion"] == "1.0.0"


def test_a_stack_without_a_version_adds_the_newest_published_and_says_it() -> None:
    harness = DeploymentHarness(enrolled=None, agent_version="")
    harness.greengrass.published[harness.account.component_arn(COMPONENT)] = ["1.4.0", "1.3.9"]

    body = body_of(harness.post())

    assert body["warnings"] == [f"{COMPONENT} 1.4.0 is added to what line-3 has"]
    latest = harness.greengrass.latest(harness.arn)
    assert latest is not None
    assert latest.components[COMPONENT]["componentVersion"] == "1.4.0"


def test_a_target_without_the_agent_where_none_is_published_gets_nothing_and_the_cause_is_said() -> None:
    harness = DeploymentHarness(enrolled=None, agent_version="")

    answer = harness.post()

    assert (answer["statusCode"], body_of(answer)["code"]) == (502, "agent-not-published")
    assert "gdk component publish" in body_of(answer)["detail"]
    assert harness.greengrass.latest(harness.arn) is None
    assert harness.states() == [(1, "FAILED")]


def test_the_next_revision_says_what_changes(harness: DeploymentHarness) -> None:
    harness.post(a_wish(WEB, {"name": "old", "image": "fleetgrass/hello:v1"}, {**WEB, "name": "same"}))
    body = body_of(
        harness.post(
            a_wish(
                {"name": "web", "image": "fleetgrass/hello:v2", "env": {"A": "1"}},
                {"name": "new", "image": "fleetgrass/hello:v1"},
                {**WEB, "name": "same"},
            )
        )
    )
    assert body["revision"] == 2
    assert body["diff"] == {
        "added": ["new"],
        "removed": ["old"],
        "changed": [
            {
                "name": "web",
                "from_image": f"{HOST}/fleetgrass/hello@{V1}",
                "to_image": f"{HOST}/fleetgrass/hello@{V2}",
                "configuration_changed": True,
            }
        ],
        "unchanged": ["same"],
    }
    assert harness.states() == [(1, "SUPERSEDED"), (2, "ACTIVE")]


def test_one_image_is_asked_for_once(harness: DeploymentHarness) -> None:
    harness.post(a_wish(WEB, {**WEB, "name": "b"}))
    assert harness.images.asked == ["fleetgrass/hello"]


def test_an_empty_list_removes_everything_and_says_so(harness: DeploymentHarness) -> None:
    harness.post()
    body = body_of(harness.post({"target": {"group": "line-3"}, "applications": []}))
    assert body["diff"]["removed"] == ["web"]
    assert "removes every application" in body["warnings"][0]


@pytest.mark.parametrize(
    ("image", "code", "named"),
    [
        ("fleetgrass/hello:v9", "image-not-found", "fleetgrass/hello:v9"),
        ("fleetgrass/ghost:v1", "image-not-found", "fleetgrass/ghost:v1"),
        (f"fleetgrass/hello@sha256:{'9' * 64}", "image-not-found", "9999"),
        (f"999999999999.dkr.ecr.eu-west-1.amazonaws.com/a:{1}", "registry-not-ours", "999999999999"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1", "registry-not-ours", "us-east-1"),
    ],
)
def test_an_image_that_is_not_there_is_422_and_named(
    harness: DeploymentHarness, image: str, code: str, named: str
) -> None:
    answer = harness.post(a_wish(WEB, {"name": "b", "image": image}))

    problem = body_of(answer)
    assert (answer["statusCode"], problem["code"]) == (422, code)
    assert named in problem["detail"]
    assert problem["field"] == "applications[1].image"
    assert harness.states() == []
    assert harness.documents.stored == {}


def test_an_image_that_may_not_be_read_is_422_and_not_our_fault(harness: DeploymentHarness) -> None:
    harness.images.broken = Refused("DescribeImages: AccessDeniedException")
    problem = body_of(answer := harness.post())
    assert (answer["statusCode"], problem["code"]) == (422, "image-not-readable")
    assert "AccessDenied" not in answer["body"]


@pytest.mark.parametrize("image", [f"{HOST}/fleetgrass/hello:v1", f"fleetgrass/hello:v9@{V1}"])
def test_an_image_may_be_written_in_full_or_by_digest(harness: DeploymentHarness, image: str) -> None:
    body = body_of(harness.post(a_wish({"name": "web", "image": image})))
    assert body["applications"][0]["image"] == f"{HOST}/fleetgrass/hello@{V1}"


def test_a_group_that_is_not_there_is_404_and_an_empty_one_422(harness: DeploymentHarness) -> None:
    unknown, no_devices = harness.post(a_wish(group="line-9")), harness.post(a_wish(group="empty"))
    assert (unknown["statusCode"], body_of(unknown)["code"]) == (404, "group-not-found")
    assert (no_devices["statusCode"], body_of(no_devices)["code"]) == (422, "group-empty")
    assert "empty" in body_of(no_devices)["detail"]


def test_a_deployer_of_another_group_is_403_and_told_so(harness: DeploymentHarness) -> None:
    answer = harness.post(roles="Fleet.Deployer:line-4")
    assert (answer["statusCode"], body_of(answer)["code"]) == (403, "group-not-allowed")
    made = body_of(harness.post(roles="Fleet.Deployer:line-3"))["id"]
    assert harness.get(made, roles="Fleet.Reader:line-4")["statusCode"] == 403
    assert harness.get(made, roles="Fleet.Reader:line-3")["statusCode"] == 200


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "target"),
        (a_wish() | {"aplications": []}, "aplications"),
        (a_wish({**WEB, "prots": []}), "applications[0].prots"),
        (a_wish({"name": "Web!", "image": "a:1"}), "applications[0].name"),
        (a_wish({"name": "web", "image": "fleetgrass/hello"}), "applications[0].image"),
        (a_wish({"name": "web", "image": "https://hub/nginx:1"}), "applications[0].image"),
        (a_wish({"name": "web", "image": "a:1\n"}), "applications[0].image"),
        (a_wish({**WEB, "ports": [{"container_port": "80"}]}), "applications[0].ports[0].container_port"),
        (a_wish({**WEB, "env": {"1A": "x"}}), "applications[0].env"),
        (a_wish(group="a/b"), "target.group"),
        ({"target": "line-3", "applications": []}, "target"),
        ({"target": {"group": "line-3"}}, "applications"),
        (a_wish(*[{**WEB, "name": f"a{i}"} for i in range(65)]), "applications"),
    ],
)
def test_a_wrong_shape_is_400_and_the_field_is_named(
    harness: DeploymentHarness, body: object, named: str
) -> None:
    answer = harness.post(body)
    assert answer["statusCode"] == 400
    assert any(error["field"].startswith(named) for error in body_of(answer)["errors"])
    assert harness.states() == []


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (a_wish(WEB, WEB), '"web" is used twice'),
        (
            a_wish(
                {**WEB, "ports": [{"container_port": 80, "host_port": 80}]},
                {**WEB, "name": "b", "ports": [{"container_port": 81, "host_port": 80}]},
            ),
            '80 is used by "web" too',
        ),
    ],
)
def test_a_right_shape_with_a_wrong_meaning_is_422(
    harness: DeploymentHarness, wish: object, reason: str
) -> None:
    answer = harness.post(wish)
    assert (answer["statusCode"], body_of(answer)["code"]) == (422, "invalid-desired")
    assert reason in body_of(answer)["detail"]


def test_a_document_that_is_too_large_for_devices_is_422(harness: DeploymentHarness) -> None:
    env = {"TEXT": "x" * 270_000}
    answer = harness.post(a_wish({**WEB, "env": env}))
    assert (answer["statusCode"], body_of(answer)["code"]) == (422, "document-too-large")
    assert harness.documents.stored == {}


def test_devices_of_another_architecture_are_named_in_a_warning(harness: DeploymentHarness) -> None:
    harness.images.architectures = frozenset({"amd64"})
    harness.devices = FakeDevices(
        [
            a_device("r-1", host={"architecture": "arm64"}),
            a_device("r-2", host={"architecture": "amd64"}),
            a_device("r-3", host={}),
        ]
    )
    assert body_of(harness.post())["warnings"] == ["web is not built for the architecture of r-1"]


def test_the_same_key_gives_the_same_deployment_and_another_wish_is_refused(
    harness: DeploymentHarness,
) -> None:
    headers = {"Idempotency-Key": "k1"}
    first, again = harness.post(headers=headers), harness.post(headers=headers)
    assert again["statusCode"] == 201
    assert body_of(again)["id"] == body_of(first)["id"]
    other = harness.post(a_wish({"name": "web", "image": "fleetgrass/hello:v2"}), headers=headers)
    assert (other["statusCode"], body_of(other)["code"]) == (422, "idempotency-key-reused")
    assert harness.states() == [(1, "ACTIVE")]


def test_a_deployment_succeeds_when_every_device_of_its_group_runs_it(harness: DeploymentHarness) -> None:
    made = body_of(harness.post())["id"]
    assert body_of(harness.get(made))["counts"]["PENDING"] == 2
    harness.reports(made, "r-1", "RUNNING")
    half = body_of(harness.get(made))
    assert (half["state"], half["counts"]["RUNNING"], half["counts"]["PENDING"]) == ("ACTIVE", 1, 1)
    harness.reports(made, "r-2", "RUNNING")
    assert body_of(harness.get(made))["state"] == "SUCCEEDED"
    assert harness.states() == [(1, "SUCCEEDED")]


def test_the_sweep_sees_a_success_that_nobody_asked_for(harness: DeploymentHarness) -> None:
    made = body_of(harness.post())["id"]
    harness.reports(made, "r-1", "RUNNING")
    harness.reports(made, "r-2", "RUNNING")
    harness.clock.advance(60)
    assert harness.sweep() == 1
    assert harness.states() == [(1, "SUCCEEDED")]


def test_the_sweep_looks_at_an_unfinished_deployment_less_and_less_often(harness: DeploymentHarness) -> None:
    there = timedelta(days=30)  # nobody is lost meanwhile
    harness.devices = FakeDevices([a_device(name, stale_at=NOW + there) for name in ("r-1", "r-2")])
    harness.post()
    looks = 0
    for _ in range(24 * 60):
        harness.clock.advance(60)
        before = len(harness.gaps.calls)
        assert harness.sweep() == 0
        looks += "deployments.look_again" in harness.gaps.calls[before:]
    assert 20 < looks < 100


def test_a_rollback_is_told_with_its_device_application_and_reason(harness: DeploymentHarness) -> None:
    made = body_of(harness.post())["id"]
    harness.reports(made, "r-1", "ROLLED_BACK", application="web", code="unhealthy", message="no answer")
    body = body_of(harness.get(made))
    (told,) = [device for device in body["devices"] if device["device"] == "r-1"]
    assert (told["state"], told["application"], told["code"]) == ("ROLLED_BACK", "web", "unhealthy")
    assert body["state"] == "ACTIVE"
    assert body["counts"]["ROLLED_BACK"] == 1


def test_what_a_device_outside_the_group_claims_is_not_shown(harness: DeploymentHarness) -> None:
    made = body_of(harness.post())["id"]
    harness.reports(made, "intruder", "FAILED")
    body = body_of(harness.get(made))
    assert [device["device"] for device in body["devices"]] == ["r-1", "r-2"]
    assert body["counts"]["FAILED"] == 0


def test_a_deployment_is_404_where_there_is_none(harness: DeploymentHarness) -> None:
    answer = harness.get("dep-" + "0" * 26)
    assert (answer["statusCode"], body_of(answer)["code"]) == (404, "deployment-not-found")
    assert harness.get("dep-1")["statusCode"] == 400


# ---------------------------------------------------------------- the pure parts

NAMES = st.text("abcXYZ.-_", min_size=1, max_size=8)
UPDATES = st.fixed_dictionaries({}, optional={"merge": st.just('{"a":1}'), "reset": st.just(["/b"])})
COMPONENTS = st.dictionaries(
    NAMES | st.just(COMPONENT),
    st.fixed_dictionaries(
        {"componentVersion": NAMES},
        optional={"configurationUpdate": UPDATES, "runWith": st.just({"posixUser": "u"})},
    ),
    max_size=5,
)


@given(COMPONENTS)
def test_a_merge_removes_nothing_and_changes_only_what_the_agent_is_pointed_at(existing: Any) -> None:
    before = json.dumps(existing, sort_keys=True)
    merged = merge(existing, document_uri="s3://b/d", agent_version="1.0.0", time_source=False)

    assert json.dumps(existing, sort_keys=True) == before
    assert merged.keys() == existing.keys() | {COMPONENT}
    assert all(merged[name] == existing[name] for name in existing if name != COMPONENT)
    agent, found = merged[COMPONENT], existing.get(COMPONENT, {"componentVersion": "1.0.0"})
    assert agent["componentVersion"] == found["componentVersion"]
    assert agent["runWith"] == found.get("runWith", {}) | {"posixUser": "root"}
    update = found.get("configurationUpdate", {})
    assert agent["configurationUpdate"].get("reset") == update.get("reset")
    configuration = json.loads(agent["configurationUpdate"]["merge"])
    assert configuration.pop("desired") == {"document_uri": "s3://b/d"}
    assert configuration == json.loads(update.get("merge", "{}"))
    assert carries(merged, "s3://b/d")
    assert not carries(merged, "s3://b/e")
    assert merge(merged, document_uri="s3://b/d", agent_version="2.0.0", time_source=False) == merged


@pytest.mark.parametrize("text", ["[]", "{", "3", '"x"'])
def test_a_configuration_that_is_no_object_is_neither_merged_nor_ours(text: str) -> None:
    existing = {COMPONENT: {"componentVersion": "1", "configurationUpdate": {"merge": text}}}
    with pytest.raises(ConfigurationUnreadable):
        merge(existing, document_uri="s3://b/d", agent_version="1", time_source=False)
    assert not carries(existing, "s3://b/d")


@settings(max_examples=25)
@given(st.from_regex(PATTERN, fullmatch=True))
def test_every_image_that_the_pattern_lets_in_can_be_read(text: str) -> None:
    image = parse_image(text)
    assert image.tag or image.digest
    assert image.repository in text


@pytest.mark.parametrize("text", ["", "a", "a@sha256:12", "A:1", "a:1/b", "host:5000/a:1", "a/:1", "a:1\n"])
def test_what_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an image"):
        parse_image(text)


def pinned(name: str, image: str = "a", **more: Any) -> Pinned:
    image = f"{HOST}/{image}@{V1}"
    return Pinned.of(Application.model_validate({"name": name, "image": image, **more}))


def test_a_diff_of_a_revision_with_itself_is_empty_and_of_an_image_alone_says_so() -> None:
    same = [pinned("a"), pinned("b")]
    assert diff(same, same) == {"added": [], "removed": [], "changed": [], "unchanged": ["a", "b"]}
    (change,) = diff([pinned("a")], [pinned("a", "b")])["changed"]
    assert not change["configuration_changed"]


def converged(**more: Any) -> dict[str, Any]:
    return {"deployment_id": "dep-00000000000000000000000001", "state": "CONVERGED", **more}


def status(state: str, **more: Any) -> dict[str, Any]:
    return {"state": state, **more}


@pytest.mark.parametrize(
    ("desired", "applications", "expected"),
    [
        ({}, {}, None),
        (converged(deployment_id="anything else"), {"a": status("RUNNING")}, None),
        ({"state": "NOT_MANAGED"}, {"a": status("RUNNING")}, None),
        (converged(), {}, ("RUNNING", None, None)),
        (converged(), {"a": status("RUNNING"), "b": status("RUNNING")}, ("RUNNING", None, None)),
        (converged(), {"a": status("RUNNING"), "b": {}}, ("IN_PROGRESS", "b", None)),
        (converged(state="CONVERGING"), {"a": status("RUNNING")}, ("IN_PROGRESS", None, None)),
        (converged(), {"a": status("UNHEALTHY", code="x")}, ("IN_PROGRESS", "a", "x")),
        (converged(), {"a": status("STOPPED"), "b": status("RUNNING")}, ("RUNNING", None, None)),
        (converged(state="CONVERGING"), {"a": status("STOPPED")}, ("IN_PROGRESS", "a", None)),
        (
            converged(state="CONVERGING"),
            {"a": status("PULLING", code="no-route")},
            ("IN_PROGRESS", "a", "no-route"),
        ),
        (
            converged(),
            {
                "a": status("ROLLED_BACK", rollback={"code": "unhealthy", "reason": "r"}),
                "b": status("RUNNING"),
            },
            ("ROLLED_BACK", "a", "unhealthy"),
        ),
        (
            converged(),
            {"a": status("ROLLED_BACK"), "b": status("FAILED", code="denied")},
            ("FAILED", "b", "denied"),
        ),
        (
            converged(state="FAILED", code="desired-invalid"),
            {"a": status("RUNNING")},
            ("FAILED", None, "desired-invalid"),
        ),
    ],
)
def test_the_worst_application_is_the_outcome_and_its_reason(
    desired: dict[str, Any], applications: dict[str, Any], expected: tuple[str, str | None, str | None] | None
) -> None:
    outcome = outcome_of(desired, applications)
    assert (outcome and (outcome.state.value, outcome.application, outcome.code)) == expected


def test_an_outcome_is_told_without_what_is_not_known() -> None:
    assert DeviceOutcome("dep-1", OutcomeState.RUNNING).to_dict() == {"state": "RUNNING"}


def test_silence_is_pending_and_a_target_without_members_never_succeeds() -> None:
    recorded = {"a": {"state": "RUNNING"}}
    assert by_device(["b", "a"], recorded) == {"a": {"state": "RUNNING"}, "b": {"state": "PENDING"}}
    assert counts(by_device(["b", "a"], recorded)) == {
        "PENDING": 1,
        "IN_PROGRESS": 0,
        "RUNNING": 1,
        "ROLLED_BACK": 0,
        "FAILED": 0,
    }
    assert all_run(["a"], recorded)
    assert not all_run(["a", "b"], recorded)
    assert not all_run([], recorded)


OTHER = "dep-00000000000000000000000002"


def refusing(deployment_id: object = OTHER, **more: Any) -> dict[str, Any]:
    refused = {"deployment_id": deployment_id, "revision": 5, "sha256": "c" * 64, "code": "policy-forbids"}
    return converged(state="FAILED", wanted_sha256="c" * 64, refused=refused | {"message": "no"} | more)


def test_what_a_device_refuses_is_the_outcome_of_that_document_and_not_of_the_one_in_force() -> None:
    refused = refusal_of(refusing())

    assert refused is not None
    assert refused.deployment_id == OTHER
    assert refused.to_dict() == {
        "state": "FAILED", "code": "policy-forbids", "message": "no", "refused": True
    }  # fmt: skip
    assert outcome_of(refusing(), {"a": status("RUNNING")}) is None  # it keeps the one that it has
    crashed = outcome_of(refusing(), {"a": status("FAILED", code="crash-loop")})
    assert crashed is not None
    assert (crashed.deployment_id, crashed.code, crashed.refused) == (
        converged()["deployment_id"], "crash-loop", False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "desired",
    [{}, converged(), refusing("anything else"), refusing(7), refusing(converged()["deployment_id"])],
)
def test_no_refusal_is_one_of_nothing(desired: dict[str, Any]) -> None:
    assert refusal_of(desired) is None
