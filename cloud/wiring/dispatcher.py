"""The dispatcher of commands: the ledger, and the broker."""

from cloud.aws.clients import iot_data
from cloud.aws.iot_data import Publisher
from cloud.ports.bucket import Bundles
from cloud.services.dispatch import Dispatcher
from cloud.wiring.commands import commands


def dispatcher(uploads: Bundles | None = None) -> Dispatcher:
    return Dispatcher(commands(), Publisher(iot_data), uploads)
