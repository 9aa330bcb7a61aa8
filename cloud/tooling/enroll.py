"""Enrol a device: everything that it needs to be a Greengrass core of ours, in AWS and as files.

Every step looks first, so that running it again finishes what a crash left half done and changes
nothing else. The row is written before the certificate can connect, because presence and reports of
what has no row are not kept.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from pydantic import TypeAdapter, ValidationError

from cloud.aws.account import Account
from cloud.aws.greengrass import Greengrass
from cloud.aws.iot_registry import Registry
from cloud.deploy.components import NUCLEUS, RUN_WITH, TIME_SOURCE, AgentUnpublished
from cloud.deploy.moving import obstacle
from cloud.membership import MovedMeanwhile, Mover
from cloud.tables.devices import Devices
from cloud.tables.memberships import Memberships
from cloud.tooling.device_files import DeviceFiles
from contract.names import COMPONENT, GroupName, ThingName

log = logging.getLogger(__name__)

TOKEN_EXCHANGE = "aws.greengrass.TokenExchangeService"  # noqa: S105 (a component's name)


class EnrolmentRefused(Exception):
    """The device was not enrolled; the text says why and what to do."""

    code = "enrolment-refused"


@dataclass(frozen=True, slots=True)
class Clients:
    """The boto3 clients of an enrolment, of one account and region."""

    iot: Any
    greengrass: Any
    devices: Devices
    memberships: Memberships
    region: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What there is now; ``made`` names what this run made, in order.

    ``agent_version`` is what the group's first deployment has; None where it was made before.
    """

    thing: str
    thing_arn: str
    group: str
    group_arn: str
    certificate_arn: str
    greengrass_deployment_id: str
    agent_version: str | None
    files: Mapping[str, str]
    made: tuple[str, ...]


def enroll(
    clients: Clients,
    outputs: Mapping[str, str],
    *,
    thing: str,
    group: str,
    files: DeviceFiles,
    now: datetime | None = None,
) -> Enrolled:
    """Enrol ``thing`` into ``group`` of the stack with ``outputs``; write its files.

    Raises:
        EnrolmentRefused: a wrong name; the device is in another group that is deployed to, or comes from
            one whose applications it would keep; its files belong to another device; the agent, of which the
            stack names no version, is not published.
    """
    _check(ThingName, "thing", thing)
    _check(GroupName, "group", group)
    made: list[str] = []
    _refuse_second_group(clients, thing, group)
    group_arn = _group(clients.iot, group, made)
    _refuse_what_would_not_take(clients, thing, group, group_arn)
    thing_arn = _thing(clients.iot, thing, made)
    if clients.devices.create(thing, group, now=now or datetime.now(UTC)):
        made.append("row")
    else:
        _bring_back(clients, thing, group, made)
    clients.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group)
    deployment, agent_version = _first_deployment(
        clients, group, group_arn, outputs.get("AgentVersion", ""), made
    )
    certificate = _certificate(clients.iot, thing, files, made)
    clients.iot.attach_policy(policyName=outputs["ThingPolicy"], target=certificate)
    clients.iot.attach_thing_principal(thingName=thing, principal=certificate)
    files.write_configuration(
        thing=thing,
        region=clients.region,
        role_alias=outputs["TokenExchangeRoleAlias"],
        data_endpoint=_endpoint(clients.iot, "iot:Data-ATS"),
        credentials_endpoint=_endpoint(clients.iot, "iot:CredentialProvider"),
    )
    log.info("enrolled: thing=%s group=%s made=%s", thing, group, ",".join(made) or "nothing")
    return Enrolled(
        thing, thing_arn, group, group_arn, certificate, deployment, agent_version, files.as_mapping(),
        tuple(made),
    )  # fmt: skip


def _check(kind: Any, what: str, name: str) -> None:
    try:
        TypeAdapter(kind).validate_python(name)
    except ValidationError:
        raise EnrolmentRefused(
            f'{what}: "{name}" must be 1 to 128 of letters, digits, ":", "_" and "-"'
        ) from None


def _group(iot: Any, group: str, made: list[str]) -> str:
    try:
        return str(iot.describe_thing_group(thingGroupName=group)["thingGroupArn"])
    except iot.exceptions.ResourceNotFoundException:
        made.append("group")
        return str(iot.create_thing_group(thingGroupName=group)["thingGroupArn"])


def _thing(iot: Any, thing: str, made: list[str]) -> str:
    try:
        return str(iot.describe_thing(thingName=thing)["thingArn"])
    except iot.exceptions.ResourceNotFoundException:
        made.append("thing")
        return str(iot.create_thing(thingName=thing)["thingArn"])


def _refuse_second_group(clients: Clients, thing: str, group: str) -> None:
    """Refuse where two groups would deploy to one device: each would undo the other."""
    row = clients.devices.get(thing)
    if row is not None and row.group not in (None, group):
        raise _second_group(thing, str(row.group))
    try:
        found = clients.iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]
    except clients.iot.exceptions.ResourceNotFoundException:
        return
    for other in found:
        if other["groupName"] != group and _latest_deployment(clients.greengrass, other["groupArn"]):
            raise _second_group(thing, other["groupName"])


def _refuse_what_would_not_take(clients: Clients, thing: str, group: str, group_arn: str) -> None:
    """Refuse a device that was taken out of a group and would not become what this one's deployment says."""
    row = clients.devices.get(thing)
    if row is None or row.group == group:
        return
    latest = Greengrass(clients.greengrass).latest(group_arn)
    found = None if latest is None else obstacle(group, latest.components, device=row)
    if found is not None:
        raise EnrolmentRefused(f"{thing}: {found.detail} ({found.code})")


def _bring_back(clients: Clients, thing: str, group: str, made: list[str]) -> None:
    """Have the row of a device that was taken out of its group say that it belongs to this one."""
    mover = Mover(clients.memberships, Registry(clients.iot))
    try:
        before = mover.settled(thing)
        if before.group is None:
            mover.move(before, group)
            made.append("membership")
    except MovedMeanwhile:
        raise EnrolmentRefused(f'"{thing}" is being moved: enrol it again in a minute') from None


def _second_group(thing: str, group: str) -> EnrolmentRefused:
    return EnrolmentRefused(
        f'"{thing}" is in the group "{group}" already, which is deployed to; a device is in one such group'
    )


def _latest_deployment(greengrass: Any, target_arn: str) -> str | None:
    found = greengrass.list_deployments(targetArn=target_arn, historyFilter="LATEST_ONLY")["deployments"]
    return str(found[0]["deploymentId"]) if found else None


def _first_deployment(
    clients: Clients, group: str, group_arn: str, named: str, made: list[str]
) -> tuple[str, str | None]:
    """Return the group's latest Greengrass deployment; make the first where there is none.

    Of that also the agent's version: the one that is ``named``, else the newest published.
    It carries no ``desired``: the agent touches nothing until somebody deploys.
    """
    latest = _latest_deployment(clients.greengrass, group_arn)
    if latest is not None:
        return latest, None
    component = Account.of(group_arn).component_arn(COMPONENT)
    agent_version = named or Greengrass(clients.greengrass).newest(component)
    if agent_version is None:
        raise EnrolmentRefused(str(AgentUnpublished()))
    components = {
        COMPONENT: {"componentVersion": agent_version, "runWith": dict(RUN_WITH)},
        TOKEN_EXCHANGE: {"componentVersion": _newest(clients, TOKEN_EXCHANGE)},
        NUCLEUS: {
            "componentVersion": _newest(clients, NUCLEUS),
            # Without it a device that comes from another group keeps the values of a newer deployment.
            "configurationUpdate": {"merge": json.dumps(dict(TIME_SOURCE))},
        },
    }
    try:
        answer = clients.greengrass.create_deployment(
            targetArn=group_arn,
            deploymentName=f"fleetgrass {group}: enrolment",
            components=components,
            deploymentPolicies={
                "failureHandlingPolicy": "ROLLBACK",
                "componentUpdatePolicy": {"timeoutInSeconds": 60, "action": "NOTIFY_COMPONENTS"},
                "configurationValidationPolicy": {"timeoutInSeconds": 60},
            },
        )
    except ClientError as error:
        reason = error.response["Error"].get("Message", "")
        raise EnrolmentRefused(
            f"Greengrass refused the first deployment of {group}: {reason} "
            f"(is {COMPONENT} {agent_version} published?)"
        ) from error
    made.append("deployment")
    return str(answer["deploymentId"]), agent_version


def _newest(clients: Clients, component: str) -> str:
    """Return the newest version of a component of AWS."""
    partition = "aws-cn" if clients.region.startswith("cn-") else "aws"
    arn = f"arn:{partition}:greengrass:{clients.region}:aws:components:{component}"
    versions = clients.greengrass.list_component_versions(arn=arn)["componentVersions"]
    if not versions:
        raise EnrolmentRefused(f"Greengrass knows no version of {component}")
    return str(versions[0]["componentVersion"])


def _certificate(iot: Any, thing: str, files: DeviceFiles, made: list[str]) -> str:
    """Return the ARN of the certificate whose files are there; make one where there are none."""
    earlier = files.certificate_arn()
    if earlier is None:
        answer = iot.create_keys_and_certificate(setAsActive=True)
        arn = str(answer["certificateArn"])
        files.write_identity(answer["certificatePem"], answer["keyPair"]["PrivateKey"], arn)
        made.append("certificate")
        return arn
    if not _usable(iot, thing, earlier):
        raise EnrolmentRefused(
            f"{files.certificate_path} is no active certificate of this account, or another device's: "
            "name an empty folder"
        )
    return earlier


def _usable(iot: Any, thing: str, arn: str) -> bool:
    """Whether the certificate is active, and this thing's or nobody's."""
    try:
        found = iot.describe_certificate(certificateId=arn.rpartition("/")[2])["certificateDescription"]
    except iot.exceptions.ResourceNotFoundException:
        return False
    owners = iot.list_principal_things(principal=arn)["things"]
    return found["status"] == "ACTIVE" and all(owner == thing for owner in owners)


def _endpoint(iot: Any, kind: str) -> str:
    return str(iot.describe_endpoint(endpointType=kind)["endpointAddress"])
