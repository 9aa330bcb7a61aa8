"""``POST /deployments``: a group's applications, as the next revision of what it runs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain

from pydantic import ValidationError

from cloud.aws.account import Account
from cloud.aws.errors import Conflict, NotFound, Refused, Unavailable
from cloud.clock import Clock, new_id, utc_now
from cloud.domain.deployments.deployment import Deployment, DeploymentState, Pinned, diff, wanted_of
from cloud.domain.deployments.group_nucleus import NAMES, of_the_other_kind
from cloud.domain.deployments.image_references import parse_image
from cloud.domain.deployments.lost_agents import taken_over
from cloud.domain.deployments.validating_agents import few
from cloud.domain.devices.device import Device
from cloud.http.deployment_request import DeploymentRequest, WantedApplication
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler, location
from cloud.http.preconditions import Preconditions, entity_tag, preconditions
from cloud.ports.bucket import Documents
from cloud.ports.groups import Group, Groups
from cloud.ports.images import Image, Images
from cloud.services.deployment_submission import Submission
from cloud.tables.devices import Devices
from cloud.wiring.bucket import documents
from cloud.wiring.devices import devices
from cloud.wiring.groups import groups
from cloud.wiring.images import images
from cloud.wiring.submission import submission
from contract.defaults import DESIRED_DOCUMENT_MAX_BYTES
from contract.desired import Application, DesiredDocument
from contract.names import Nucleus
from contract.wire import complaint


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that creating a deployment needs."""

    account: Account
    images: Images
    documents: Documents
    groups: Groups
    devices: Devices
    submission: Submission
    clock: Clock


def create_deployment(request: Request, ports: Ports) -> Response:
    """Answer 201 with the revision's Location; SUBMITTING in it means that Greengrass has not answered yet.

    ``If-Match`` and ``If-None-Match`` are judged of the target's newest revision, whatever became of it,
    once nothing else speaks against the call.

    Raises:
        Problem: 404 ``group-not-found``; 409 ``deployment-in-progress`` or ``revision-conflict``; 412
            ``precondition-failed`` with the newest ``revision`` and its ``deployment``, and nothing done;
            422 ``group-empty``, ``image-not-found``, ``image-not-readable``, ``registry-not-ours``,
            ``invalid-desired`` or ``document-too-large``; 502 ``greengrass-refused``,
            ``greengrass-conflict``, ``agent-not-published`` or ``agent-configuration-unreadable``.
    """
    wish = request.parse(DeploymentRequest)
    group = wish.target.group
    request.require_group([group])
    deployments = ports.submission.deployments
    idempotency, asked = request.idempotency(), preconditions(request.headers)
    earlier = deployments.by_idempotency_key(idempotency, ports.clock()) if idempotency else None
    if earlier is not None:
        return _created(earlier)
    found = _found(ports.groups, group)

    applications, architectures = _resolve(wish.applications, ports)
    target = wish.target.arn_part
    revisions = deployments.newest_first(target)
    latest = next(revisions, None)
    _require(asked, latest, group)
    before = _finished(latest, ports.submission)
    now = ports.clock()
    document = _document(wish, before.revision + 1 if before else 1, new_id("dep", now), applications)
    body = document.canonical()
    if len(body) > DESIRED_DOCUMENT_MAX_BYTES:
        raise Problem(
            422,
            "document-too-large",
            f"the desired document is {len(body)} bytes; at most {DESIRED_DOCUMENT_MAX_BYTES} can be sent",
        )
    pinned = tuple(Pinned.of(application) for application in applications)
    members = ports.devices.in_group(group)
    newest = () if before is None else (before,)
    before_it = wanted_of(chain(newest, revisions))
    deployment = Deployment(
        id=document.deployment_id,
        target=target,
        revision=document.revision,
        document_uri=ports.documents.put(body),
        applications=pinned,
        diff=diff(before_it.applications if before_it else (), pinned),
        warnings=_warnings(applications, architectures, found.nucleus, members),
        requested_by=request.caller.subject,
        reason=wish.reason,
        created_at=now,
        changed_at=now,
        agents_lost=before_it.agents_lost if before_it else 0,
        watched_at=taken_over(before_it, now),
    )
    try:
        deployments.create(deployment, due_at=ports.submission.due_at(now), idempotency=idempotency)
    except (Conflict, Unavailable) as error:
        earlier = deployments.by_idempotency_key(idempotency, now) if idempotency else None
        if earlier is not None:
            return _created(earlier)
        latest = next(deployments.newest_first(target), None)
        # Of two transactions that meet, one is told to come again, which it need not where the other won.
        if isinstance(error, Unavailable) and not _is_overtaken(deployment, latest):
            raise
        _require(asked, latest, group)
        raise Problem(
            409, "revision-conflict", f"another deployment to {group} was created at the same moment"
        ) from None
    try:
        deployment = ports.submission.finish(deployment, found)
    except Unavailable:
        return _created(
            deployment, applications, "Greengrass has not answered yet: this is finished within minutes"
        )
    return _created(deployment, applications)


def _found(groups: Groups, group: str) -> Group:
    """Return the group, which has devices."""
    try:
        found = groups.group(group)
    except NotFound:
        raise Problem(404, "group-not-found", f"there is no group {group}") from None
    if not found.has_members:
        raise Problem(422, "group-empty", f"group {group} has no devices")
    return found


def _require(asked: Preconditions, latest: Deployment | None, group: str) -> None:
    """Refuse what was asked for on the condition that another revision is the latest."""
    if asked.hold(None if latest is None else entity_tag(latest.revision)):
        return
    if latest is None:
        raise Problem(
            412, "precondition-failed", f"{group} has no deployment yet", revision=None, deployment=None
        )
    raise Problem(
        412, "precondition-failed", f"{group} is at revision {latest.revision}",
        revision=latest.revision, deployment=latest.id,
    )  # fmt: skip


def _is_overtaken(deployment: Deployment, latest: Deployment | None) -> bool:
    return latest is not None and latest.revision >= deployment.revision and latest.id != deployment.id


def _finished(latest: Deployment | None, submission: Submission) -> Deployment | None:
    """Return a target's latest deployment, which is not SUBMITTING; finish it where it was left so."""
    if latest is None or latest.state is not DeploymentState.SUBMITTING:
        return latest
    if not submission.is_stale(latest):
        raise Problem(
            409,
            "deployment-in-progress",
            f"revision {latest.revision} is being submitted",
            headers={"retry-after": "10"},
            deployment=latest.id,
        )
    return submission.finish(latest)


def _resolve(
    wanted: list[WantedApplication], ports: Ports
) -> tuple[list[Application], Mapping[str, frozenset[str]]]:
    """Return the applications by digest, and each one's architectures where they are known."""
    resolved: list[Application] = []
    known: dict[str, Image] = {}
    for i, application in enumerate(wanted):
        image = parse_image(application.image)
        field = f"applications[{i}].image"
        if image.registry not in (None, ports.account.registry):
            raise Problem(
                422,
                "registry-not-ours",
                f"{field}: {image.registry} is not {ports.account.registry}",
                field=field,
            )
        if application.image not in known:
            try:
                known[application.image] = ports.images.resolve(
                    image.repository, tag=image.tag, digest=image.digest
                )
            except NotFound:
                raise Problem(
                    422, "image-not-found", f"{field}: there is no {application.image}", field=field
                ) from None
            except Refused:
                raise Problem(
                    422, "image-not-readable", f"{field}: {application.image} cannot be read", field=field
                ) from None
        name = f"{ports.account.registry}/{image.repository}@{known[application.image].digest}"
        resolved.append(Application.model_validate({**application.model_dump(), "image": name}))
    return resolved, {a.name: known[w.image].architectures for a, w in zip(resolved, wanted, strict=True)}


def _document(
    wish: DeploymentRequest, revision: int, deployment_id: str, applications: list[Application]
) -> DesiredDocument:
    try:
        return DesiredDocument(
            target=wish.target.arn_part,
            revision=revision,
            deployment_id=deployment_id,
            applications=applications,
            atomic=wish.atomic,
            windows=wish.windows,
            delete_volumes=wish.delete_volumes,
            force=wish.force,
        )
    except ValidationError as error:
        raise Problem(422, "invalid-desired", complaint(error)) from None


def _warnings(
    applications: list[Application],
    architectures: Mapping[str, frozenset[str]],
    nucleus: Nucleus | None,
    devices: Collection[Device],
) -> tuple[str, ...]:
    warnings = []
    if nucleus is not None and (others := of_the_other_kind(devices, nucleus)):
        warnings.append(
            f"the group is of {NAMES[nucleus]}, and {few(others)} said to have the other nucleus: what is "
            "deployed to it does not fit there; move them into a group of their own kind"
        )
    if not applications:
        warnings.append("this removes every application of ours from the group's devices")
    for application in applications:
        built_for = architectures[application.name]
        unfit = [d.name for d in devices if built_for and d.architecture and d.architecture not in built_for]
        if unfit:
            warnings.append(f"{application.name} is not built for the architecture of {few(unfit)}")
    return tuple(warnings)


def _created(deployment: Deployment, applications: list[Application] | None = None, *more: str) -> Response:
    where = location("deployments", deployment.id)
    if deployment.state is DeploymentState.FAILED:
        raise Problem(
            502,
            deployment.code or "greengrass-refused",
            f"Greengrass did not take revision {deployment.revision}: {deployment.message}",
            headers=where,
            deployment=deployment.id,
        )
    body = {
        "id": deployment.id,
        "target": {"group": deployment.group},
        "revision": deployment.revision,
        "state": deployment.state.value,
        "applications": [a.to_dict() for a in applications]
        if applications is not None
        else [{"name": one.name, "image": one.image} for one in deployment.applications],
        "diff": deployment.diff,
        "warnings": [*deployment.warnings, *more],
        "created_at": deployment.created_at,
    }
    headers = where | {"etag": entity_tag(deployment.revision)}
    change = {"deployment": deployment.id, "revision": deployment.revision, "diff": deployment.diff}
    return Response(201, body, headers, before={"revision": deployment.revision - 1}, after=change)


def _operation(request: Request) -> Response:
    account = Account.of_function(request.function_arn)
    ports = Ports(
        account=account,
        images=images(account),
        documents=documents(),
        groups=groups(),
        devices=devices(),
        submission=submission(account),
        clock=utc_now,
    )
    return create_deployment(request, ports)


handler = lambda_handler(_operation, route="POST /deployments")
