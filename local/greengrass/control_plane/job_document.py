"""The IoT Job's document: a deployment as Greengrass sends it to devices. Pure.

The shape is what the classic nucleus reads: ``{configurationArn, deploymentId, deploymentName,
creationTimestamp (ms), components: {name: {version, configurationUpdate?: {merge?, reset?}, runWith?}},
failureHandlingPolicy, componentUpdatePolicy: {timeout, action}, configurationValidationPolicy: {timeout}}``.
"""

import json
from collections.abc import Mapping
from typing import Any

from local.greengrass.control_plane.errors import InvalidRequest
from local.greengrass.control_plane.versions import Version

JOB_SETTINGS = ("jobExecutionsRolloutConfig", "abortConfig", "timeoutConfig")


def components(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request's components, checked.

    Raises:
        InvalidRequest: no map, a version that is not one, a merge that is no JSON object, a bad reset.
    """
    given = body.get("components") or {}
    if not isinstance(given, dict):
        raise InvalidRequest("Invalid Input: components must be a map")
    for name, component in given.items():
        if not isinstance(component, dict) or not isinstance(component.get("componentVersion"), str):
            raise InvalidRequest(f"Invalid Input: components.{name}.componentVersion is required")
        try:
            Version.parse(component["componentVersion"])
        except ValueError as error:
            raise InvalidRequest(f"Invalid Input: components.{name}.componentVersion: {error}") from error
        update = component.get("configurationUpdate") or {}
        reset = update.get("reset") or []
        if not isinstance(reset, list) or not all(isinstance(p, str) and p[:1] in ("", "/") for p in reset):
            raise InvalidRequest(
                f"Invalid Input: components.{name}.configurationUpdate.reset must be JSON pointers"
            )
        _merge(name, update)
    return given


def policies(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request's deployment policies with AWS's defaults filled in.

    Raises:
        InvalidRequest: a word or number that AWS does not accept.
    """
    given = body.get("deploymentPolicies") or {}
    update = {"timeoutInSeconds": 60, "action": "NOTIFY_COMPONENTS"} | (
        given.get("componentUpdatePolicy") or {}
    )
    validation = {"timeoutInSeconds": 60} | (given.get("configurationValidationPolicy") or {})
    failure = given.get("failureHandlingPolicy") or "ROLLBACK"
    if failure not in ("ROLLBACK", "DO_NOTHING"):
        raise InvalidRequest("Invalid Input: failureHandlingPolicy must be ROLLBACK or DO_NOTHING")
    if update["action"] not in ("NOTIFY_COMPONENTS", "SKIP_NOTIFY_COMPONENTS"):
        raise InvalidRequest("Invalid Input: action must be NOTIFY_COMPONENTS or SKIP_NOTIFY_COMPONENTS")
    if not all(
        isinstance(p["timeoutInSeconds"], int) and p["timeoutInSeconds"] > 0 for p in (update, validation)
    ):
        raise InvalidRequest("Invalid Input: timeoutInSeconds must be a whole number above 0")
    return {
        "failureHandlingPolicy": failure,
        "componentUpdatePolicy": update,
        "configurationValidationPolicy": validation,
    }


def job_settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request's iotJobConfiguration, whose members are IoT's own.

    Raises:
        InvalidRequest: it has a member that AWS does not know.
    """
    given = body.get("iotJobConfiguration") or {}
    if not isinstance(given, dict) or set(given) - set(JOB_SETTINGS):
        raise InvalidRequest(f"Invalid Input: iotJobConfiguration may hold {', '.join(JOB_SETTINGS)}")
    return given


def render(deployment: Mapping[str, Any], configuration_arn: str) -> str:
    """Return the job document of a deployment record as JSON text."""
    chosen = deployment["policies"]
    return json.dumps(
        {
            "configurationArn": configuration_arn,
            "deploymentId": deployment["id"],
            **({"deploymentName": deployment["name"]} if deployment["name"] else {}),
            "creationTimestamp": int(deployment["created_at"] * 1000),
            "components": {name: _component(name, c) for name, c in deployment["components"].items()},
            "failureHandlingPolicy": chosen["failureHandlingPolicy"],
            "componentUpdatePolicy": {
                "timeout": chosen["componentUpdatePolicy"]["timeoutInSeconds"],
                "action": chosen["componentUpdatePolicy"]["action"],
            },
            "configurationValidationPolicy": {
                "timeout": chosen["configurationValidationPolicy"]["timeoutInSeconds"]
            },
        }
    )


def _component(name: str, component: Mapping[str, Any]) -> dict[str, Any]:
    update = component.get("configurationUpdate") or {}
    rendered: dict[str, Any] = {"version": component["componentVersion"]}
    change: dict[str, Any] = {}
    if (merge := _merge(name, update)) is not None:
        change["merge"] = merge
    if update.get("reset"):
        change["reset"] = update["reset"]
    if change:
        rendered["configurationUpdate"] = change
    if component.get("runWith"):
        rendered["runWith"] = component["runWith"]
    return rendered


def _merge(name: str, update: Mapping[str, Any]) -> dict[str, Any] | None:
    text = update.get("merge")
    if not text:
        return None
    try:
        merge = json.loads(text)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"Invalid Input: components.{name}.configurationUpdate.merge is not JSON"
        ) from error
    if not isinstance(merge, dict):
        raise InvalidRequest(
            f"Invalid Input: components.{name}.configurationUpdate.merge must be a JSON object"
        )
    return merge
