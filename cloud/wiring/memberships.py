"""The table of devices, by where each belongs."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.memberships import Memberships


def memberships() -> Memberships:
    return Memberships(client("dynamodb"), ENVIRONMENT.devices_table)
