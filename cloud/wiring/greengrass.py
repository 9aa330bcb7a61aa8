"""Greengrass's control plane."""

from cloud.aws import greengrass as adapter
from cloud.aws.clients import client
from cloud.ports.greengrass import Greengrass


def greengrass() -> Greengrass:
    return adapter.Greengrass(client("greengrassv2"))
