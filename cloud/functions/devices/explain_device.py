"""``GET /devices/{device}/why``: why a device is not on its desired revision, one answer with evidence."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cloud.aws.account import Account
from cloud.aws.errors import CloudError
from cloud.clock import Clock, utc_now
from cloud.defaults import OFFLINE_DEBOUNCE_S
from cloud.domain.deployments.deployment import Deployment, wanted_of
from cloud.domain.deployments.greengrass_components import carries
from cloud.domain.devices.device import Device
from cloud.domain.devices.diagnosis import AS_DESIRED, explain
from cloud.domain.devices.diagnosis_facts import Cause, DiagnosisFacts
from cloud.domain.devices.presence import lost_at, state
from cloud.environment import ENVIRONMENT
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.reached_device import reached_device
from cloud.ports.greengrass import Greengrass
from cloud.ports.groups import Groups
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.telemetry.logs import log_event
from cloud.wiring.deployments import deployments
from cloud.wiring.devices import devices
from cloud.wiring.greengrass import greengrass
from cloud.wiring.groups import groups
from contract.names import Nucleus

log = logging.getLogger(__name__)


def explain_device(
    request: Request,
    *,
    devices: Devices,
    deployments: Deployments,
    greengrass: Greengrass,
    groups: Groups,
    account: Account,
    clock: Clock,
    offline_debounce_s: float = OFFLINE_DEBOUNCE_S,
) -> Response:
    """Answer with ``{as_desired, code, message, …, causes}``: the first cause, and all of them.

    Greengrass is asked only while the device does not know of the revision; without its answer the rest
    still tells.

    Raises:
        Problem: 404 ``device-not-found``.
    """
    device = reached_device(request, devices)
    now = clock()
    wish = _wish(device, deployments)
    facts = DiagnosisFacts(
        device,
        state(device, now, offline_debounce_s=offline_debounce_s),
        wish,
        nucleus=_nucleus(device, groups),
        lost_at=None if wish is None else lost_at(device, wish.given_at, now),
    )
    on_its_way = not facts.arrived and not facts.referred and facts.refused is None
    if facts.deployment is not None and facts.deployment.greengrass_id is not None and on_its_way:
        facts = _ask(facts, facts.deployment, greengrass, account)
    causes = explain(facts)
    desired, on_device = facts.deployment, device.desired
    return Response(
        200,
        {
            "device": device.name,
            "as_desired": causes[0].code == AS_DESIRED,
            **_told(causes[0]),
            "desired": None if desired is None else {"revision": desired.revision, "deployment": desired.id},
            "on_device": {
                key: on_device.get(key) for key in ("target", "revision", "deployment_id", "state")
            },
            "causes": [_told(cause) for cause in causes],
            "asked_at": now,
        },
    )


def _nucleus(device: Device, groups: Groups) -> Nucleus | None:
    """Return which nucleus the device's group is of, where there is something to compare it with."""
    if device.group is None or device.nucleus is None:
        return None
    try:
        return groups.nucleus_of(device.group)
    except CloudError as error:
        log_event(log, "the registry did not say", level=logging.WARNING, device=device.name, code=error.code)
        return None


def _wish(device: Device, deployments: Deployments) -> Deployment | None:
    if device.group is None:
        return None
    return wanted_of(deployments.newest_first(f"thinggroup/{device.group}"))


def _ask(
    facts: DiagnosisFacts, deployment: Deployment, greengrass: Greengrass, account: Account
) -> DiagnosisFacts:
    """Return ``facts`` with the device's job: of ours, or of the newest one that others made to carry it."""
    device = facts.device.name
    try:
        job = greengrass.on_device(device, str(deployment.greengrass_id))
        if job is None:
            latest = greengrass.latest(account.iot_arn(deployment.target))
            if latest is not None and carries(latest.components, deployment.document_uri):
                job = greengrass.on_device(device, latest.greengrass_id)
        return replace(facts, job=job)
    except CloudError as error:
        log_event(
            log, "Greengrass did not say", level=logging.WARNING, device=facts.device.name, code=error.code
        )
        return replace(facts, job_known=False)


def _told(cause: Cause) -> Mapping[str, Any]:
    told = {
        "code": cause.code,
        "message": cause.message,
        "application": cause.application,
        "since": cause.since,
        "next_try_at": cause.next_try_at,
        "evidence": dict(cause.evidence) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _operation(request: Request) -> Response:
    return explain_device(
        request,
        devices=devices(),
        deployments=deployments(),
        greengrass=greengrass(),
        groups=groups(),
        account=Account.of_function(request.function_arn),
        clock=utc_now,
        offline_debounce_s=ENVIRONMENT.offline_debounce_s,
    )


handler = lambda_handler(_operation, route="GET /devices/{device}/why")
