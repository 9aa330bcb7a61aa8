"""The reconciler as the agent drives it, on an engine that answers HTTP."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from contract.desired import Application, DesiredDocument
from edge.clock import SystemClock
from edge.containers.container_ports import ContainerPorts, ContainerSettings
from edge.containers.execute.disk_guard import Disk
from edge.containers.model.image_references import RegistryCredentials
from edge.containers.pass_result import Pass
from edge.containers.reconciler import Reconciler
from edge.engine.docker import DockerEngine
from edge.ports.clock import Clock
from edge.ports.engine import Credentials
from edge.preflight.image_inspector import ImageInspector
from edge.preflight.registry import HttpRegistry
from edge.storage.state import StateFolder
from tests.support.engine.harness import EngineHarness
from tests.support.engine.tiny_registry import LOGIN

HOST = "000000000000.dkr.ecr.eu-west-1.amazonaws.com"


class Logins:
    def get(self, registry_host: str, *, fresh: bool = False) -> Credentials:
        return Credentials(*LOGIN)


class Images(Protocol):
    """A registry that containers come from."""

    address: str

    def reference(self, image: str) -> str:
        """Return ``address/repository@digest`` of an image."""


class Agent:
    """The reconciler as the agent drives it: woken by progress, or after as long as it said."""

    def __init__(
        self,
        harness: EngineHarness,
        registry: Images,
        folder: Path,
        host: str,
        *,
        credentials: RegistryCredentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.disk: Disk = lambda: None  # a test may have one
        self.harness, self.registry, self.folder = harness, registry, folder
        self.credentials, self.clock = credentials or Logins(), clock or SystemClock()
        self.engine = DockerEngine({"DOCKER_HOST": host})
        self.wake = threading.Event()
        self.revision = 0
        self.document: DesiredDocument | None = None
        self.reconciler = self._new()

    def application(self, image: str, name: str = "web", **fields: Any) -> Application:
        reference = self.registry.reference(image).partition("/")[2]
        return Application(
            name=name,
            image=f"{HOST}/{reference}",
            healthy_window_s=1 if self.harness.simulated else 3,
            stop_grace_s=1,
            **fields,
        )

    def deploy(self, *applications: Application) -> Pass:
        self.desire(*applications)
        return self.settle()

    def desire(self, *applications: Application) -> None:
        self.revision += 1
        self.document = DesiredDocument(
            target="thinggroup/line-3",
            revision=self.revision,
            deployment_id=f"dep-{self.revision:026d}",
            applications=list(applications),
        )
        self.reconciler.desire(self.document)

    def settle(self) -> Pass:
        return self.until(lambda found: found.settled)

    def until(self, wanted: Callable[[Pass], bool], within_s: float = 60.0) -> Pass:
        """Do passes until one is as wanted."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            self.wake.clear()
            result = self.reconciler.converge()
            if wanted(result):
                return result
            self.wake.wait(min(result.next_look_s or 1.0, 1.0))
        raise AssertionError(f"not as wanted within {within_s:g} s: {result}")

    def start_again(self) -> None:
        self.reconciler = self._new()
        self.reconciler.desire(self.document)

    def _new(self) -> Reconciler:
        mirrors = {HOST: self.registry.address}
        images = ImageInspector(self.engine, self.credentials, HttpRegistry())
        ports = ContainerPorts(
            engine=self.engine,
            credentials=self.credentials,
            clock=self.clock,
            state=StateFolder(self.folder),
            estimate_pull_bytes=lambda image: images.estimate_pull_bytes(image, mirrors),
            disk=lambda: self.disk(),
            on_progress=self.wake.set,
        )
        settings = ContainerSettings(
            thing=self.harness.thing,
            folder=self.folder,
            publish_address="127.0.0.1",
            registry_mirrors=mirrors,
            healthy_poll_s=0.1,
        )
        return Reconciler(ports, settings)
