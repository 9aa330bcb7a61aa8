"""The table of deployments, page by page."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.deployment_lists import DeploymentLists


def deployment_lists() -> DeploymentLists:
    return DeploymentLists(client("dynamodb"), ENVIRONMENT.deployments_table)
