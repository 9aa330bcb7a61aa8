"""Wiring of deployment submission to AWS by the environment, for all functions that finish deployments."""

import os

from cloud.aws.account import Account
from cloud.aws.clients import client
from cloud.aws.greengrass import Greengrass
from cloud.aws.iot_registry import Registry
from cloud.clock import utc_now
from cloud.defaults import SUBMITTING_STALE_S
from cloud.services.deployment_submission import Submission
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices


def submission(function_arn: str) -> Submission:
    """Return the submission of this Lambda's account, wired to AWS by the environment."""
    dynamodb = client("dynamodb")
    return Submission(
        deployments=Deployments(dynamodb, os.environ["DEPLOYMENTS_TABLE"]),
        greengrass=Greengrass(client("greengrassv2")),
        devices=Devices(dynamodb, os.environ["DEVICES_TABLE"]),
        groups=Registry(client("iot")),
        account=Account.of_function(function_arn),
        agent_version=os.environ["AGENT_VERSION"],
        stale_s=float(os.environ.get("SUBMITTING_STALE_S", SUBMITTING_STALE_S)),
        clock=utc_now,
    )
