"""The nucleus' IPC: the event-stream protocol on a Unix socket, as the official SDK speaks it."""

from local.greengrass.nucleus.ipc.broker import Broker, BrokerUnavailable, MemoryBroker
from local.greengrass.nucleus.ipc.components import Components
from local.greengrass.nucleus.ipc.server import Server

__all__ = ["Broker", "BrokerUnavailable", "Components", "MemoryBroker", "Server"]
