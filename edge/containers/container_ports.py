"""Ports and settings of the reconciler: everything outside it, and what the device's configuration says."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.clock import local_time
from edge.containers.execute.disk_guard import Disk
from edge.containers.execute.image_puller import EstimatePullBytes, nothing_known
from edge.containers.execute.secrets import NO_SECRETS, SECRETS_FOLDER, SecretSource
from edge.containers.model.image_gc import STANDARD_FLOOR, DiskReserve
from edge.containers.model.image_references import RegistryCredentials
from edge.containers.model.policy import DEFAULT, Policy
from edge.containers.observe.probes import Prober
from edge.containers.plan.maintenance_windows import Local
from edge.ports.clock import Clock
from edge.ports.engine import Engine
from edge.ports.state import State
from edge.ports.workers import Workers
from edge.worker_pool import Threads


@dataclass(frozen=True, slots=True)
class ContainerPorts:
    """Everything outside the reconciler."""

    engine: Engine
    credentials: RegistryCredentials
    clock: Clock
    state: State
    estimate_pull_bytes: EstimatePullBytes = nothing_known
    secrets: SecretSource = NO_SECRETS
    disk: Disk = lambda: None
    #: Called from workers when something ended that was under way: call ``converge`` soon.
    on_progress: Callable[[], None] = lambda: None
    workers: Callable[[str, int], Workers] = Threads
    prober: Prober = field(default_factory=Prober)
    jitter: Callable[[], float] = random.random
    local: Local = local_time


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """The device and its configuration, as far as its containers go by them."""

    thing: str
    folder: Path  # the agent's
    publish_address: str
    registry_mirrors: Mapping[str, str] = field(default_factory=dict)
    secrets_folder: Path = SECRETS_FOLDER
    policy: Policy = DEFAULT
    floor: DiskReserve = STANDARD_FLOOR
    healthy_poll_s: float = 1.0
    earlier_folder: Path | None = None  # where an earlier version of the agent had its folder
