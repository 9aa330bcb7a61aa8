"""The table of devices, by device."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.devices import Devices


def devices() -> Devices:
    return Devices(client("dynamodb"), ENVIRONMENT.devices_table)
