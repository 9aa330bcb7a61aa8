"""The keys of calls that make no row of ours, in the table of commands."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.dynamodb.idempotency_keys import Keys


def idempotency_keys() -> Keys:
    return Keys(client("dynamodb"), ENVIRONMENT.commands_table)
