"""The IoT registry."""

from cloud.aws.clients import client
from cloud.aws.iot_registry import Registry
from cloud.ports.groups import Groups


def groups() -> Groups:
    return Registry(client("iot"))
