"""The submission of deployments, for all functions that finish them."""

from cloud.aws.account import Account
from cloud.clock import utc_now
from cloud.environment import ENVIRONMENT
from cloud.services.deployment_submission import Submission
from cloud.wiring.deployments import deployments
from cloud.wiring.devices import devices
from cloud.wiring.greengrass import greengrass
from cloud.wiring.groups import groups


def submission(account: Account) -> Submission:
    return Submission(
        deployments=deployments(),
        greengrass=greengrass(),
        devices=devices(),
        groups=groups(),
        account=account,
        agent_version=ENVIRONMENT.agent_version,
        stale_s=ENVIRONMENT.submitting_stale_s,
        clock=utc_now,
    )
