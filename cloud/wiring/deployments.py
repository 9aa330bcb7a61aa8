"""The table of deployments."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.deployments import Deployments


def deployments() -> Deployments:
    return Deployments(client("dynamodb"), ENVIRONMENT.deployments_table)
