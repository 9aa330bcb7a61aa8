"""The group reboots, which are in the table of commands."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.group_reboots import GroupReboots


def group_reboots() -> GroupReboots:
    return GroupReboots(client("dynamodb"), ENVIRONMENT.commands_table)
