"""The proofs of reboots, which are in the ledger."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.proofs import Proofs


def proofs() -> Proofs:
    return Proofs(client("dynamodb"), ENVIRONMENT.commands_table)
