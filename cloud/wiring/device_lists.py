"""The table of devices, page by page."""

from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.tables.device_lists import DeviceLists


def device_lists() -> DeviceLists:
    return DeviceLists(client("dynamodb"), ENVIRONMENT.devices_table)
