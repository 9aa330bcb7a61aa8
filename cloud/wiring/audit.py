"""The table of the audit."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.audit import Audit


def audit() -> Audit:
    return Audit(client("dynamodb"), ENVIRONMENT.audit_table)
