"""The ledger of commands."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.commands import Commands


def commands() -> Commands:
    return Commands(client("dynamodb"), ENVIRONMENT.commands_table)
