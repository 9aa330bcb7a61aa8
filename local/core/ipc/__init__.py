"""The nucleus' IPC: the event-stream protocol on a Unix socket, as the official SDK speaks it."""

from local.core.ipc.broker import Broker, BrokerUnavailable, MemoryBroker
from local.core.ipc.components import Components
from local.core.ipc.server import Server

__all__ = ["Broker", "BrokerUnavailable", "Components", "MemoryBroker", "Server"]
