"""Enrolment of a device: everything that makes it a Greengrass core of ours, in AWS and as files.

Every step checks first what is there, so that running it again finishes what a crash left half done and
changes nothing else. The row is written before the certificate can connect, because presence and reports of
a device without a row are not kept.
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
from cloud.aws.errors import NotFound
from cloud.aws.greengrass import Greengrass
from cloud.aws.iot_registry import Registry
from cloud.domain.deployments.greengrass import TargetDeployment
from cloud.domain.deployments.greengrass_components import (
    NUCLEUS,
    RUN_WITH,
    TIME_SOURCE,
    TOKEN_EXCHANGE,
    AgentUnpublished,
    Components,
)
from cloud.domain.deployments.group_moves import obstacle, origin
from cloud.domain.deployments.group_nucleus import CODE, NAMES, differ, fitting, mismatch
from cloud.domain.devices.device import Device
from cloud.services.group_membership import GroupMembership, MovedMeanwhile
from cloud.tables.devices import Devices
from cloud.tables.memberships import Memberships
from cloud.tooling.device_files import DeviceFiles
from contract.names import COMPONENT, GroupName, Nucleus, ThingName

log = logging.getLogger(__name__)


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
    """The result of an enrolment; ``made`` names what this run created, in order; ``notes`` are remarks.

    ``agent_version`` is what the group's first deployment has; None where it was made before. ``nucleus`` is
    the group's; None while it was not given, and no device has reported its own.
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
    nucleus: Nucleus | None
    notes: tuple[str, ...]


def enroll(
    clients: Clients,
    outputs: Mapping[str, str],
    *,
    thing: str,
    group: str,
    files: DeviceFiles,
    nucleus: Nucleus | None = None,
    now: datetime | None = None,
) -> Enrolled:
    """Enrol ``thing`` into ``group`` of the stack with ``outputs``; write its files.

    ``nucleus`` is which one the device has, and so the group; None: as the group is, and where that is not
    known its first deployment is as for the classic nucleus, and the group's first report tells.

    Raises:
        EnrolmentRefused: a wrong name; the device is in another group that is deployed to, or comes from
            one whose applications it would keep; the group is of the other nucleus; its files belong to
            another device; the agent, of which the stack names no version, is not published.
    """
    _check(ThingName, "thing", thing)
    _check(GroupName, "group", group)
    made: list[str] = []
    _refuse_second_group(clients, thing, group)
    row = clients.devices.get(thing)
    _refuse_the_other_nucleus(clients.iot, row, thing, group, nucleus)
    group_arn = _group(clients.iot, group, made)
    fixed = _nucleus(clients.iot, group, nucleus, made)
    kind = fixed or (None if row is None else row.nucleus)
    greengrass = Greengrass(clients.greengrass)
    latest = greengrass.latest(group_arn)
    _refuse_what_would_not_take(greengrass, row, group, group_arn, latest, kind)
    thing_arn = _thing(clients.iot, thing, made)
    if clients.devices.create(thing, group, now=now or datetime.now(UTC)):
        made.append("row")
    else:
        _bring_back(clients, thing, group, made)
    clients.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group)
    agent_version = None
    if latest is None:
        agent_version = _agent_version(clients, group_arn, outputs.get("AgentVersion", ""))
        components = _first_components(clients, agent_version, kind)
        deployment = _first_deployment(clients, group, group_arn, components, made)
    else:
        components, deployment = latest.components, latest.greengrass_id
    certificate = _certificate(clients.iot, thing, files, made)
    clients.iot.attach_policy(policyName=outputs["ThingPolicy"], target=certificate)
    # Exclusively: policy variables of the thing hold for its further connections (thing#2) only then.
    clients.iot.attach_thing_principal(
        thingName=thing, principal=certificate, thingPrincipalType="EXCLUSIVE_THING"
    )
    files.write_configuration(
        nucleus=nucleus or kind or Nucleus.CLASSIC,
        thing=thing,
        region=clients.region,
        role_alias=outputs["TokenExchangeRoleAlias"],
        data_endpoint=_endpoint(clients.iot, "iot:Data-ATS"),
        credentials_endpoint=_endpoint(clients.iot, "iot:CredentialProvider"),
    )
    log.info("enrolled: thing=%s group=%s made=%s", thing, group, ",".join(made) or "nothing")
    return Enrolled(
        thing, thing_arn, group, group_arn, certificate, deployment, agent_version, files.as_mapping(),
        tuple(made), nucleus=fixed, notes=_notes(group, fixed, kind, components),
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


def _refuse_the_other_nucleus(
    iot: Any, row: Device | None, thing: str, group: str, nucleus: Nucleus | None
) -> None:
    """Refuse a device into a group of the other nucleus, by what is said of it now, or by what it said."""
    try:
        fixed = Registry(iot).nucleus_of(group)
    except NotFound:
        return
    if nucleus is not None:
        _require_same(group, fixed, nucleus)
    elif (found := mismatch(group, fixed, device=row)) is not None:
        raise EnrolmentRefused(
            f"{thing}: {found.detail}; or, where it was installed anew with the other nucleus, say so with "
            f"--nucleus ({found.code})"
        )


def _require_same(group: str, fixed: Nucleus | None, nucleus: Nucleus) -> None:
    if fixed is not None and differ(fixed, nucleus):
        raise EnrolmentRefused(
            f"{group} is of {NAMES[fixed]}: a device with {NAMES[nucleus]} needs a group of its own kind "
            f"({CODE})"
        )


def _nucleus(iot: Any, group: str, nucleus: Nucleus | None, made: list[str]) -> Nucleus | None:
    """Return the group's nucleus; the one given now is stored if none was before."""
    registry = Registry(iot)
    before = registry.nucleus_of(group)
    if nucleus is None or before is not None:
        return before
    fixed = registry.fix_nucleus(group, nucleus)
    _require_same(group, fixed, nucleus)  # another call may have set another one meanwhile
    if fixed is not None:
        made.append("nucleus")
    return fixed


def _refuse_what_would_not_take(
    greengrass: Greengrass,
    row: Device | None,
    group: str,
    group_arn: str,
    latest: TargetDeployment | None,
    nucleus: Nucleus | None,
) -> None:
    """Refuse a device that was taken out of a group and would not become what this one's deployment says."""
    if row is None or row.group == group or latest is None:
        return
    comes_from = origin(row, None)
    leaving = None
    if comes_from not in (None, group):
        leaving = greengrass.latest(f"{group_arn.rpartition('/')[0]}/{comes_from}")
    found = obstacle(
        group, latest.components, nucleus=nucleus, device=row,
        leaving=None if leaving is None else leaving.components, comes_from=comes_from,
    )  # fmt: skip
    if found is not None:
        raise EnrolmentRefused(f"{row.name}: {found.detail} ({found.code})")


def _notes(
    group: str, fixed: Nucleus | None, kind: Nucleus | None, components: Components
) -> tuple[str, ...]:
    notes = []
    if fixed is None:
        notes.append(
            f"the nucleus of {group} was not given: its deployment is made for "
            f"{NAMES[kind or Nucleus.CLASSIC]}, and the first device that reports decides; give "
            f"--nucleus lite for {NAMES[Nucleus.LITE]}"
        )
    out = fitting(components, fixed)[1]
    if out:
        notes.append(
            f"the latest deployment of {group} names {' and '.join(out)}, with which {NAMES[Nucleus.LITE]} "
            f"fails it: `python -m cloud upgrade-agent --group {group}` takes them out"
        )
    return tuple(notes)


def _bring_back(clients: Clients, thing: str, group: str, made: list[str]) -> None:
    """Have the row of a device that was taken out of its group say that it belongs to this one."""
    mover = GroupMembership(clients.memberships, Registry(clients.iot))
    try:
        before = mover.settled(thing)
        if before.group is None:
            mover.move(before, group)
            made.append("membership")
        elif before.group != group:  # since it was looked at
            raise _second_group(thing, before.group)
    except MovedMeanwhile:
        raise EnrolmentRefused(f'"{thing}" is being moved: enrol it again in a minute') from None


def _second_group(thing: str, group: str) -> EnrolmentRefused:
    return EnrolmentRefused(
        f'"{thing}" is in the group "{group}" already, which is deployed to; a device is in one such group'
    )


def _latest_deployment(greengrass: Any, target_arn: str) -> str | None:
    found = greengrass.list_deployments(targetArn=target_arn, historyFilter="LATEST_ONLY")["deployments"]
    return str(found[0]["deploymentId"]) if found else None


def _agent_version(clients: Clients, group_arn: str, named: str) -> str:
    """Return the agent's version that is ``named``, else the newest published."""
    version = named or Greengrass(clients.greengrass).newest(Account.of(group_arn).component_arn(COMPONENT))
    if version is None:
        raise EnrolmentRefused(str(AgentUnpublished()))
    return version


def _first_components(clients: Clients, agent_version: str, nucleus: Nucleus | None) -> Components:
    """Return the components of a group's first deployment; a group without a nucleus counts as classic.

    It has no ``desired``: the agent touches nothing until the first deployment.
    """
    agent = {COMPONENT: {"componentVersion": agent_version, "runWith": dict(RUN_WITH)}}
    if nucleus is Nucleus.LITE:
        return agent
    return agent | {
        TOKEN_EXCHANGE: {"componentVersion": _newest(clients, TOKEN_EXCHANGE)},
        NUCLEUS: {
            "componentVersion": _newest(clients, NUCLEUS),
            # Without it a device that comes from another group keeps the values of a newer deployment.
            "configurationUpdate": {"merge": json.dumps(dict(TIME_SOURCE))},
        },
    }


def _first_deployment(
    clients: Clients, group: str, group_arn: str, components: Components, made: list[str]
) -> str:
    """Make the first Greengrass deployment of a group that has none; return its id."""
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
            f"(is {COMPONENT} {components[COMPONENT]['componentVersion']} published?)"
        ) from error
    made.append("deployment")
    return str(answer["deploymentId"])


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
    """Whether the certificate is active, and attached to this thing or to none."""
    try:
        found = iot.describe_certificate(certificateId=arn.rpartition("/")[2])["certificateDescription"]
    except iot.exceptions.ResourceNotFoundException:
        return False
    owners = iot.list_principal_things(principal=arn)["things"]
    return found["status"] == "ACTIVE" and all(owner == thing for owner in owners)


def _endpoint(iot: Any, kind: str) -> str:
    return str(iot.describe_endpoint(endpointType=kind)["endpointAddress"])
