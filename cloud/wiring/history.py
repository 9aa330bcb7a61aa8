"""The table of devices' key figures, and the table of devices for who writes both."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.devices import Devices
from cloud.tables.history import History


def history() -> History:
    return History(client("dynamodb"), ENVIRONMENT.history_table)


def devices_with_history() -> Devices:
    return Devices(client("dynamodb"), ENVIRONMENT.devices_table, ENVIRONMENT.history_table)
