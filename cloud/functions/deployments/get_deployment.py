"""``GET /deployments/{deployment}``: how far a revision got, device by device."""

from cloud.clock import Clock, utc_now
from cloud.domain.deployments.deployment import DeploymentState, in_force
from cloud.domain.deployments.deployment_outcomes import (
    Trouble,
    all_run,
    as_they_are,
    by_device,
    counts,
    trouble,
)
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.preconditions import entity_tag
from cloud.services.deployment_watch import rows_of
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.wiring.deployments import deployments
from cloud.wiring.devices import devices


def get_deployment(request: Request, *, deployments: Deployments, devices: Devices, clock: Clock) -> Response:
    """Answer with the deployment, its counts and every device's outcome.

    An ACTIVE deployment that every member runs is SUCCEEDED from this look on. Of the deployment in force,
    outcomes and the problem (``code``, ``message``) are as devices are now, else as last recorded. The
    ``ETag`` is the revision's, for ``If-Match`` of the next one; no cache may go by it, as the outcomes go
    on changing.

    Raises:
        Problem: 404 ``deployment-not-found``.
    """
    wanted = request.path["deployment"]
    deployment = deployments.get(wanted)
    if deployment is None:
        raise Problem(404, "deployment-not-found", f"there is no deployment {wanted}")
    request.require_group([deployment.group])
    members = set(devices.names_in_group(deployment.group))
    recorded = deployments.outcomes(deployment.id)
    outcomes, now = by_device(members, recorded), clock()
    amiss = Trouble(deployment.code, deployment.message)
    if deployment.state in (DeploymentState.ACTIVE, DeploymentState.SUCCEEDED):
        newest = in_force(deployments.newest_first(deployment.target))
        if newest is not None and newest.id == deployment.id:
            rows = rows_of(devices, members)
            outcomes = as_they_are(deployment, rows, members, recorded)
            amiss = trouble(deployment, rows, outcomes, now)
    if deployment.state is DeploymentState.ACTIVE and all_run(members, outcomes):
        deployments.succeed(deployment, now=now)
        deployment = deployments.get(wanted) or deployment
    body: dict[str, object] = {
        "id": deployment.id,
        "target": {"group": deployment.group},
        "revision": deployment.revision,
        "state": deployment.state.value,
        "applications": [{"name": one.name, "image": one.image} for one in deployment.applications],
        "diff": deployment.diff,
        "warnings": list(deployment.warnings),
        "requested_by": deployment.requested_by,
        "created_at": deployment.created_at,
        "changed_at": deployment.changed_at,
        "counts": counts(outcomes),
        "devices": [{"device": device, **outcome} for device, outcome in outcomes.items()],
    }
    told = {
        "reason": deployment.reason,
        "code": amiss.code,
        "message": amiss.message,
        "greengrass_id": deployment.greengrass_id,
        "job_id": deployment.job_id,
    }
    body |= {name: value for name, value in told.items() if value is not None}
    return Response(200, body, {"etag": entity_tag(deployment.revision), "cache-control": "no-store"})


def _operation(request: Request) -> Response:
    return get_deployment(request, deployments=deployments(), devices=devices(), clock=utc_now)


handler = lambda_handler(_operation, route="GET /deployments/{deployment}")
