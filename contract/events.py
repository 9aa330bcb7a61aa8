"""Connection events, as the device itself sends them: hello at start, goodbye on orderly shutdown."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contract.names import SaidNucleus
from contract.wire import Lenient, Utc

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class ConnectionEvent(Lenient):
    """``dt/fleetgrass/{thing}/connection``, ordered by ``(epoch, sequence)`` like reports.

    ``epoch`` is a random id made with the device's state file; ``sequence`` counts up in it for ever.
    """

    v: Literal[1] = 1
    event: Literal["hello", "goodbye"]
    at: Utc
    epoch: ShortText
    sequence: Annotated[int, Field(ge=0)]
    boot_id: ShortText
    agent_version: ShortText
    level: Annotated[int, Field(ge=0)] = 0  # see contract.defaults.LEVEL
    nucleus: SaidNucleus = None  # None while the device does not know, and of older agents
    interval_s: Annotated[float, Field(gt=0, le=86_400)]
    nonce: ShortText | None = None  # with hello: the time answer repeats it
    reason: Literal["shutdown", "reboot"] | None = None  # with goodbye
