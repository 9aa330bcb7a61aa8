"""Enrolment on an IoT registry in memory and a Greengrass that remembers its deployments."""

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cloud.aws.iot_registry import Registry
from cloud.services.group_membership import GroupMembership
from cloud.tables.memberships import Memberships
from cloud.tooling import enroll as enrolment
from cloud.tooling.device_files import DeviceFiles
from cloud.tooling.enroll import Clients, Enrolled, EnrolmentRefused
from contract.names import COMPONENT, Nucleus
from contract.reports import DesiredStatus
from tests.support.cloud.api import ACCOUNT, NOW, REGION
from tests.support.cloud.devices import a_connection_event, a_report, devices_table, dynamodb_in_memory, news

pytestmark = pytest.mark.slow

OUTPUTS = {
    "AgentVersion": "1.2.3",
    "ThingPolicy": "fleet-device",
    "TokenExchangeRoleAlias": "fleet-token-exchange",
}


class Greengrass:
    """The control plane's calls that enrolment makes."""

    def __init__(self) -> None:
        self.deployments: dict[str, list[dict[str, Any]]] = {}
        self.refusal: str | None = None
        self.published = ["1.4.0", "1.3.9"]

    def list_deployments(self, *, targetArn: str, historyFilter: str, maxResults: int = 50) -> dict[str, Any]:
        assert historyFilter == "LATEST_ONLY"
        assert maxResults >= 1
        return {"deployments": self.deployments.get(targetArn, [])[-1:]}

    def get_deployment(self, *, deploymentId: str) -> dict[str, Any]:
        every = [made for of_target in self.deployments.values() for made in of_target]
        return next(made for made in every if made["deploymentId"] == deploymentId)

    def list_component_versions(self, *, arn: str, maxResults: int = 100) -> dict[str, Any]:
        if arn == f"arn:aws:greengrass:{REGION}:{ACCOUNT}:components:{COMPONENT}":
            return {"componentVersions": [{"componentVersion": v} for v in self.published[:maxResults]]}
        assert arn.startswith(f"arn:aws:greengrass:{REGION}:aws:components:aws.greengrass.")
        return {"componentVersions": [{"componentVersion": "2.18.0"}, {"componentVersion": "2.17.0"}]}

    def create_deployment(self, *, targetArn: str, **request: Any) -> dict[str, Any]:
        if self.refusal is not None:
            error = {"Code": "ValidationException", "Message": self.refusal}
            raise ClientError({"Error": error}, "CreateDeployment")  # type: ignore[typeddict-item]
        made = self.deployments.setdefault(targetArn, [])
        made.append({"deploymentId": f"{targetArn}-{len(made)}", **request})
        return {"deploymentId": made[-1]["deploymentId"]}


class EnrolmentHarness:
    def __init__(self, dynamodb: Any, folder: Path) -> None:
        self.folder = folder
        self.iot: Any = boto3.client("iot", region_name=REGION)
        self.greengrass = Greengrass()
        self.devices, _ = devices_table(dynamodb)
        self.memberships = Memberships(dynamodb, self.devices._name)
        self.clients = Clients(self.iot, self.greengrass, self.devices, self.memberships, REGION)

    def enroll(
        self,
        thing: str,
        group: str,
        out: str | None = None,
        nucleus: Nucleus | None = None,
        **outputs: str,
    ) -> Enrolled:
        """Enrol with the stack's outputs, but for ``outputs``; one that is empty is not there."""
        files = DeviceFiles(self.folder / (out or thing.replace(":", "_")))
        given = {name: value for name, value in (OUTPUTS | outputs).items() if value}
        return enrolment.enroll(
            self.clients, given, thing=thing, group=group, files=files, nucleus=nucleus, now=NOW
        )

    def things(self) -> list[str]:
        return [thing["thingName"] for thing in self.iot.list_things()["things"]]


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with dynamodb_in_memory() as client:
        iot: Any = boto3.client("iot", region_name=REGION)
        iot.create_policy(policyName="fleet-device", policyDocument="{}")
        yield client


@pytest.fixture
def harness(dynamodb: Any, tmp_path: Path, request: pytest.FixtureRequest) -> EnrolmentHarness:
    return EnrolmentHarness(dynamodb, tmp_path)


def test_a_device_gets_everything_that_it_needs(harness: EnrolmentHarness) -> None:
    done = harness.enroll("first:1", "line-1")

    assert done.made == ("group", "thing", "row", "deployment", "certificate")
    row = harness.devices.get("first:1")
    assert row is not None
    assert row.group == "line-1"
    members = harness.iot.list_things_in_thing_group(thingGroupName="line-1")["things"]
    assert members == ["first:1"]
    principals = harness.iot.list_thing_principals(thingName="first:1")["principals"]
    assert principals == [done.certificate_arn]
    policies = harness.iot.list_attached_policies(target=done.certificate_arn)["policies"]
    assert [p["policyName"] for p in policies] == ["fleet-device"]


def test_its_files_are_what_the_nucleus_installs_from_and_the_key_is_its_owners(
    harness: EnrolmentHarness,
) -> None:
    files = {name: Path(path) for name, path in harness.enroll("files-1", "line-2").files.items()}

    assert stat.S_IMODE(files["private_key"].stat().st_mode) == 0o600
    assert files["private_key"].read_text().startswith("-----BEGIN")
    assert files["certificate"].read_text().startswith("-----BEGIN CERTIFICATE")
    assert files["ca"].read_text().count("BEGIN CERTIFICATE") == 4
    configuration = json.loads(files["configuration"].read_text())
    assert configuration["system"]["thingName"] == "files-1"
    nucleus = configuration["services"]["aws.greengrass.Nucleus"]["configuration"]
    assert nucleus["iotRoleAlias"] == "fleet-token-exchange"
    assert nucleus["awsRegion"] == REGION
    assert nucleus["deploymentConfigurationTimeSource"] == "deploymentProcessingTime"
    assert "interpolateComponentConfiguration" not in nucleus
    assert {p.name for p in files["ca"].parent.iterdir()} == {
        *(path.name for path in files.values()),
        "certificate.arn",
    }


def test_the_groups_first_deployment_carries_the_agent_and_desires_nothing(harness: EnrolmentHarness) -> None:
    done = harness.enroll("deploy-1", "line-3")
    harness.enroll("deploy-2", "line-3")

    (made,) = harness.greengrass.deployments[done.group_arn]
    components = made["components"]
    assert components.keys() == {COMPONENT, "aws.greengrass.Nucleus", "aws.greengrass.TokenExchangeService"}
    assert components[COMPONENT] == {"componentVersion": "1.2.3", "runWith": {"posixUser": "root"}}
    nucleus = components["aws.greengrass.Nucleus"]
    assert json.loads(nucleus["configurationUpdate"]["merge"]) == {
        "deploymentConfigurationTimeSource": "deploymentProcessingTime"
    }
    assert nucleus["componentVersion"] == "2.18.0"


def test_a_stack_that_names_no_version_of_the_agent_means_the_newest_published(
    harness: EnrolmentHarness,
) -> None:
    done = harness.enroll("newest-1", "line-newest", AgentVersion="")

    (made,) = harness.greengrass.deployments[done.group_arn]
    assert made["components"][COMPONENT]["componentVersion"] == done.agent_version == "1.4.0"
    assert harness.enroll("newest-2", "line-newest", AgentVersion="").agent_version is None


def test_without_any_published_agent_the_enrolment_says_so_and_is_finished_once_there_is_one(
    harness: EnrolmentHarness,
) -> None:
    harness.greengrass.published = []
    with pytest.raises(EnrolmentRefused, match=rf"no version of {COMPONENT} is published.*gdk"):
        harness.enroll("early-1", "line-early", AgentVersion="")

    harness.greengrass.published = ["1.0.0"]
    assert harness.enroll("early-1", "line-early", AgentVersion="").agent_version == "1.0.0"


def test_enrolling_again_makes_nothing_new(harness: EnrolmentHarness) -> None:
    first = harness.enroll("again-1", "line-4")
    again = harness.enroll("again-1", "line-4")

    assert again.made == ()
    assert again.certificate_arn == first.certificate_arn


def test_a_crash_half_way_is_finished_by_running_it_again(harness: EnrolmentHarness) -> None:
    harness.greengrass.refusal = "Component io.fleetgrass.Agent version 1.2.3 does not exist"
    with pytest.raises(EnrolmentRefused, match="published"):
        harness.enroll("crash-1", "line-5")
    harness.greengrass.refusal = None

    assert harness.enroll("crash-1", "line-5").made == ("deployment", "certificate")


def test_a_lost_folder_gets_a_new_certificate(harness: EnrolmentHarness) -> None:
    first = harness.enroll("lost-1", "line-6", out="a")

    second = harness.enroll("lost-1", "line-6", out="b")

    assert second.made == ("certificate",)
    assert second.certificate_arn != first.certificate_arn


def test_a_second_group_is_refused_and_named_before_anything_is_made(harness: EnrolmentHarness) -> None:
    harness.enroll("two-1", "line-7")

    with pytest.raises(EnrolmentRefused, match=r'"two-1" is in the group "line-7"'):
        harness.enroll("two-1", "line-8")

    groups = [g["groupName"] for g in harness.iot.list_thing_groups()["thingGroups"]]
    assert "line-8" not in groups


def out_of_its_group(harness: EnrolmentHarness, thing: str) -> None:
    """What ``DELETE /groups/{group}/devices/{device}`` does."""
    mover = GroupMembership(harness.memberships, Registry(harness.iot))
    mover.move(mover.settled(thing), None)


def test_a_device_that_was_in_a_group_is_enrolled_into_another_one_and_belongs_to_it(
    harness: EnrolmentHarness,
) -> None:
    harness.enroll("back-1", "line-11")
    out_of_its_group(harness, "back-1")

    assert harness.enroll("back-1", "line-12").made == ("group", "membership", "deployment")

    row = harness.devices.get("back-1")
    assert row is not None
    assert row.group == "line-12"
    groups = harness.iot.list_thing_groups_for_thing(thingName="back-1")["thingGroups"]
    assert [group["groupName"] for group in groups] == ["line-12"]


class MovedByOthers:
    """Memberships of a device that others put into ``group`` after enrolment has looked at its row."""

    def __init__(self, harness: EnrolmentHarness, group: str) -> None:
        self._harness, self._group = harness, group

    def __getattr__(self, name: str) -> Any:
        return getattr(self._harness.memberships, name)

    def get(self, device: str) -> Any:
        mover = GroupMembership(self._harness.memberships, Registry(self._harness.iot))
        mover.move(mover.settled(device), self._group)
        return self._harness.memberships.get(device)


def test_a_device_that_others_put_into_a_group_meanwhile_is_not_put_into_two(
    harness: EnrolmentHarness,
) -> None:
    harness.enroll("raced-1", "line-16")
    out_of_its_group(harness, "raced-1")
    others: Any = MovedByOthers(harness, "line-16")
    clients = replace(harness.clients, memberships=others)
    files = DeviceFiles(harness.folder / "raced-1")

    with pytest.raises(EnrolmentRefused, match='"line-16"'):
        enrolment.enroll(clients, OUTPUTS, thing="raced-1", group="line-17", files=files, now=NOW)

    groups = harness.iot.list_thing_groups_for_thing(thingName="raced-1")["thingGroups"]
    assert [group["groupName"] for group in groups] == ["line-16"]


def test_a_device_that_was_taken_out_is_enrolled_into_its_own_group_again(harness: EnrolmentHarness) -> None:
    done = harness.enroll("home-1", "line-18")
    (first,) = harness.greengrass.deployments[done.group_arn]
    first["components"]["aws.greengrass.Nucleus"]["configurationUpdate"]["merge"] = "{}"
    follows = DesiredStatus(state="CONVERGED", revision=1, target="thinggroup/line-18")
    harness.devices.apply(news(a_report(1, desired=follows), 1, "home-1"))
    out_of_its_group(harness, "home-1")

    assert harness.enroll("home-1", "line-18").made == ("membership",)


def test_it_is_refused_where_it_would_keep_the_old_groups_applications(harness: EnrolmentHarness) -> None:
    harness.enroll("keeps-1", "line-13")
    out_of_its_group(harness, "keeps-1")
    done = harness.enroll("keeps-2", "line-14")
    (first,) = harness.greengrass.deployments[done.group_arn]
    first["components"]["aws.greengrass.Nucleus"]["configurationUpdate"]["merge"] = "{}"

    with pytest.raises(EnrolmentRefused, match="upgrade-agent --group line-14") as refused:
        harness.enroll("keeps-1", "line-14")

    assert "group-needs-deployment" in str(refused.value)
    row = harness.devices.get("keeps-1")
    assert row is not None
    assert row.group is None
    assert "row" in harness.enroll("keeps-3", "line-14").made  # it never had another group


def test_a_group_that_is_deployed_to_counts_even_without_a_row(harness: EnrolmentHarness) -> None:
    arn = harness.iot.create_thing_group(thingGroupName="theirs")["thingGroupArn"]
    harness.iot.create_thing(thingName="other-1")
    harness.iot.add_thing_to_thing_group(thingName="other-1", thingGroupName="theirs")
    harness.enroll("other-2", "line-9")

    assert "row" in harness.enroll("other-1", "line-9").made  # a group for other purposes is no matter
    harness.greengrass.deployments[arn] = [{"deploymentId": "d"}]
    with pytest.raises(EnrolmentRefused, match="theirs"):
        harness.enroll("other-1", "line-9")


def test_the_files_of_another_device_are_refused(harness: EnrolmentHarness) -> None:
    harness.enroll("mine-1", "line-10", out="shared")

    with pytest.raises(EnrolmentRefused, match="another device"):
        harness.enroll("mine-2", "line-10", out="shared")


@pytest.mark.parametrize(
    ("thing", "group", "named"), [("a/b", "g", "thing"), ("a", "g#", "group"), ("", "g", "thing")]
)
def test_a_wrong_name_is_refused_before_anything_is_made(
    harness: EnrolmentHarness, thing: str, group: str, named: str
) -> None:
    before = harness.things()

    with pytest.raises(EnrolmentRefused, match=f"^{named}:"):
        harness.enroll(thing, group, out="x")

    assert harness.things() == before


LITE, CLASSIC = Nucleus.LITE, Nucleus.CLASSIC
CLASSIC_ROOTS = {"aws.greengrass.Nucleus", "aws.greengrass.TokenExchangeService"}


def deployed(harness: EnrolmentHarness, done: Enrolled) -> set[str]:
    """What the one deployment of the group names."""
    (made,) = harness.greengrass.deployments[done.group_arn]
    return {*made["components"]}


def test_a_group_of_lite_is_deployed_the_agent_alone_and_stays_one_of_lite(harness: EnrolmentHarness) -> None:
    first = harness.enroll("lite-1", "lite-a", nucleus=LITE)
    second = harness.enroll("lite-2", "lite-a")

    assert deployed(harness, first) == {COMPONENT}
    assert Registry(harness.iot).nucleus_of("lite-a") is LITE
    assert (first.nucleus, second.nucleus) == (LITE, LITE)
    assert (first.notes, second.notes) == ((), ())
    assert "nucleus" in first.made
    assert "nucleus" not in second.made


def test_a_group_of_classic_is_deployed_what_it_needs(harness: EnrolmentHarness) -> None:
    done = harness.enroll("classic-1", "classic-a", nucleus=CLASSIC)

    assert deployed(harness, done) == {COMPONENT, *CLASSIC_ROOTS}
    assert Registry(harness.iot).nucleus_of("classic-a") is CLASSIC


def test_where_nobody_says_which_nucleus_the_deployment_is_for_classic_and_the_first_report_decides(
    harness: EnrolmentHarness,
) -> None:
    done = harness.enroll("unsaid-1", "unsaid-a")

    assert deployed(harness, done) == {COMPONENT, *CLASSIC_ROOTS}
    assert done.nucleus is None
    assert Registry(harness.iot).nucleus_of("unsaid-a") is None
    (note,) = done.notes
    assert "--nucleus lite" in note


def test_the_files_for_lite_are_in_its_own_words_and_places(harness: EnrolmentHarness) -> None:
    files = harness.enroll("files-lite", "lite-files", nucleus=LITE).files

    configuration = json.loads(Path(files["configuration"]).read_text())
    assert configuration["system"]["rootPath"] == "/var/lib/greengrass"
    assert configuration["system"]["certificateFilePath"] == "/var/lib/greengrass/device.pem.crt"
    (nucleus,) = configuration["services"].items()
    assert nucleus[0] == "aws.greengrass.NucleusLite"
    assert nucleus[1]["configuration"]["runWithDefault"] == {"posixUser": "gg_component:gg_component"}


def test_said_too_late_it_is_kept_and_what_takes_the_classic_components_out_is_named(
    harness: EnrolmentHarness,
) -> None:
    harness.enroll("late-1", "late-a")

    done = harness.enroll("late-1", "late-a", nucleus=LITE)

    assert done.made == ("nucleus",)
    (note,) = done.notes
    assert "upgrade-agent --group late-a" in note


def test_a_device_of_the_other_nucleus_is_refused_before_anything_is_made(harness: EnrolmentHarness) -> None:
    harness.enroll("kind-1", "kind-a", nucleus=LITE)

    with pytest.raises(EnrolmentRefused, match=r"kind-a is of Nucleus Lite.*nucleus-mismatch"):
        harness.enroll("kind-2", "kind-a", nucleus=CLASSIC)

    assert "kind-2" not in harness.things()
    assert Registry(harness.iot).nucleus_of("kind-a") is LITE


def test_a_device_that_said_it_has_the_other_nucleus_is_refused_unless_it_is_said_that_it_has_this_one(
    harness: EnrolmentHarness,
) -> None:
    harness.enroll("told-1", "told-a", nucleus=CLASSIC)
    harness.devices.apply(news(a_connection_event(1, nucleus="classic"), 1, "told-1"))
    out_of_its_group(harness, "told-1")
    harness.enroll("told-2", "told-b", nucleus=LITE)

    with pytest.raises(EnrolmentRefused, match="nucleus-mismatch"):
        harness.enroll("told-1", "told-b")

    assert "membership" in harness.enroll("told-1", "told-b", nucleus=LITE).made


def test_what_a_device_said_of_itself_decides_where_nobody_said_it_of_the_group(
    harness: EnrolmentHarness,
) -> None:
    harness.enroll("own-1", "own-a", nucleus=LITE)
    harness.devices.apply(news(a_connection_event(1, nucleus="lite"), 1, "own-1"))
    out_of_its_group(harness, "own-1")

    assert deployed(harness, harness.enroll("own-1", "own-b")) == {COMPONENT}


def test_the_certificate_is_the_things_alone_so_that_its_policy_holds_for_further_connections(
    harness: EnrolmentHarness,
) -> None:
    asked: list[dict[str, Any]] = []
    remember = lambda params, **_: asked.append(dict(params))  # noqa: E731
    harness.iot.meta.events.register("provide-client-params.iot.AttachThingPrincipal", remember)

    done = harness.enroll("sole-1", "sole-a")

    (attached,) = asked
    assert attached["thingPrincipalType"] == "EXCLUSIVE_THING"
    assert attached["principal"] == done.certificate_arn
