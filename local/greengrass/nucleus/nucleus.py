"""One power-on of the core: IPC, token exchange, MQTT, jobs and components, wired together.

The work thread owns deployments and components; IPC, MQTT and status only hand it tasks.
"""

import logging
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.greengrass.nucleus.components.launch import NUCLEUS, TOKEN_EXCHANGE, Surroundings
from local.greengrass.nucleus.configuration.store import Configuration, Json, compact
from local.greengrass.nucleus.deployments.component_store import CloudComponentStore
from local.greengrass.nucleus.deployments.deployment import (
    DeploymentFailed,
    DeploymentRejected,
    DocumentRefused,
    PowerLost,
    read,
)
from local.greengrass.nucleus.deployments.installation import Installation
from local.greengrass.nucleus.deployments.jobs import Job, Jobs, JobStatus
from local.greengrass.nucleus.deployments.shadow import Shadow
from local.greengrass.nucleus.device import Device, Folder
from local.greengrass.nucleus.ipc import Components, Server
from local.greengrass.nucleus.services.credentials import AssumedRole, KeptRole, TokenExchange
from local.greengrass.nucleus.services.mqtt import MqttConnection

log = logging.getLogger(__name__)

_Task = Callable[[], None]
_LONGEST_SOCKET_PATH = 100  # sockaddr_un takes 108 bytes with the terminator
_STATUS_EVERY_S = 0.5
#: Error code → what stands before it in the error stack, and the error types, as classic says them.
_MORE: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "COMPONENT_BROKEN": (("COMPONENT_UPDATE_ERROR",), ("USER_COMPONENT_ERROR",)),
}


class Nucleus:
    """A nucleus between power-on and power-off. Start it once; then stop it or cut it, once."""

    def __init__(self, device: Device, folder: Folder) -> None:
        self._device = device
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._off = threading.Event()
        self._news = threading.Event()
        assumed = AssumedRole(device.endpoint_url, device.region, device.role_arn, device.thing)
        kept = device.credential_errors_kept if device.nucleus.kind == "classic" else 0
        role = KeptRole(assumed, errors_kept=kept)
        configuration = Configuration(device.nucleus, folder.configuration)
        if not folder.configuration.exists():
            _initialise(configuration, device, at_ms=int(folder.device.stat().st_mtime * 1000))
        self._configuration = configuration
        components = Components(
            restart=lambda name: self._tasks.put(lambda: self._installation.restart_component(name)),
            deploy=self._deploy_locally,
        )
        self._socket_folder = _short_folder(folder)
        socket_path = (self._socket_folder or folder.root) / folder.socket.name
        self._credentials = TokenExchange(role, lambda token: components.owner(token) is not None)
        surroundings = Surroundings(
            device, folder, configuration, components, socket_path, lambda: self._credentials.url
        )
        self._store = CloudComponentStore(device, folder, role)
        self._installation = Installation(surroundings, self._store, self._news.set)
        self._mqtt = MqttConnection(device)
        self._ipc = Server(
            socket_path, components, self._mqtt, configuration, device.nucleus, thing=device.thing
        )
        self._jobs = Jobs(self._mqtt, device.thing, self._take)
        self._shadow = Shadow(
            self._mqtt,
            device.thing,
            device.nucleus.version,
            lambda: self._tasks.put(self._deploy_from_shadow),
        )
        self._threads = [
            threading.Thread(target=self._work, name="work", daemon=True),
            threading.Thread(target=self._tell_status, name="status", daemon=True),
        ]

    def start(self) -> None:
        """Serve, connect and start what is installed."""
        self._credentials.start()
        self._say_port()
        self._ipc.start()
        self._mqtt.on_online(self._jobs.online)
        if self._device.nucleus.kind == "classic":
            self._mqtt.on_online(self._shadow.online)
        self._tasks.put(self._installation.boot)
        self._news.set()
        for thread in self._threads:
            thread.start()
        self._mqtt.start()

    def stop(self) -> None:
        """Shut down in order: Lite's components can say goodbye; those of classic find IPC dead by then."""
        self._off.set()
        if self._device.nucleus.kind == "classic":
            self._ipc.stop()
        self._installation.stop()
        self._end_threads()
        self._mqtt.stop()
        self._ipc.stop()
        self._clean_up()

    def die(self) -> None:
        """Be killed as a process (classic): all that was in memory is lost, and the components live on."""
        self._off.set()
        self._mqtt.cut()
        self._installation.leave()
        self._ipc.stop()
        self._end_threads()
        self._clean_up()

    def cut(self) -> None:
        """Lose power: nobody says goodbye, and the broker only notices."""
        self._off.set()
        self._mqtt.cut()
        self._installation.cut()
        self._ipc.stop()
        self._end_threads()
        self._clean_up()

    def restart_ipc(self) -> None:
        """Restart Lite's IPC daemon: tokens are void, and the components are left to find out."""
        self._ipc.restart()

    def kill_token_exchange(self) -> None:
        """Kill Lite's token exchange, which systemd starts again at once, but not what is bound to it.

        Each start of it has another port.
        """

        def kill() -> None:
            self._installation.kill_token_exchange()
            self._credentials.restart()
            self._say_port()

        self._tasks.put(kill)

    def _say_port(self) -> None:
        """Keep the port where both nuclei do, in the configuration of the component."""
        port = self._credentials.port
        says: Json = {"port": str(port)}
        if self._device.nucleus.kind == "classic":
            says = {"port": 0, "activePort": port}
        at_ms = int(time.time() * 1000)
        self._configuration.merge(TOKEN_EXCHANGE, (), says, at_ms=at_ms, conflicts="replace")

    def disconnect(self, seconds: float) -> None:
        """Lose the network, not the power."""
        self._mqtt.disconnect_for(seconds)

    def reconnect(self) -> None:
        """Have the network back."""
        self._mqtt.reconnect()

    def crash(self, component: str) -> None:
        """SIGKILL a component's processes; its supervision goes on."""
        self._installation.crash(component)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except PowerLost:
                log.info("the power went off in the middle of a task")
            except Exception:
                log.exception("a task failed")

    def _take(self, job: Job) -> None:
        self._tasks.put(lambda: self._deploy(job))

    def _deploy(self, job: Job) -> None:
        self._off.wait(self._device.job_delay_s)
        if self._off.is_set():
            raise PowerLost
        status, details = self._outcome(job.job_id, job.document)
        self._off.wait(self._device.job_delay_s)
        self._jobs.finish(job, status, details)

    def _deploy_from_shadow(self) -> None:
        if (deployment := self._shadow.take()) is None:
            return
        self._shadow.tell(deployment, "IN_PROGRESS", {})
        self._shadow.tell(deployment, *self._outcome(deployment.arn, deployment.document))

    def _outcome(self, job_id: str, document: Mapping[str, Any]) -> tuple[JobStatus, dict[str, str]]:
        """Carry a deployment out; return how it ended.

        Raises:
            PowerLost
        """
        try:
            self._installation.apply(read(document), job_id)
        except DeploymentRejected as error:
            log.info("deployment rejected: job=%s error=%s", job_id, error)
            return "REJECTED", _failure("REJECTED", error.code, str(error))
        except DocumentRefused as error:
            return "FAILED", _failure("FAILED_NO_STATE_CHANGE", error.code, str(error))
        except DeploymentFailed as error:
            log.error("deployment failed: job=%s code=%s error=%s", job_id, error.code, error)
            return "FAILED", _failure(error.state, error.code, str(error))
        log.info("deployment succeeded: job=%s", job_id)
        return "SUCCEEDED", {"detailed-deployment-status": "SUCCESSFUL"}

    def _deploy_locally(self, deployment_id: str, document: dict[str, Any]) -> None:
        updates = document.get("componentToConfiguration") or {}
        at_ms = int(time.time() * 1000)

        def deploy() -> None:
            try:
                self._installation.merge_locally(updates, at_ms=at_ms)
                log.info("local deployment succeeded: deployment=%s", deployment_id)
            except DeploymentFailed as error:
                log.error("local deployment failed: deployment=%s code=%s", deployment_id, error.code)

        self._tasks.put(deploy)

    def _tell_status(self) -> None:
        while not self._off.is_set():
            self._news.wait()
            self._news.clear()
            if not self._off.is_set():
                self._store.report(self._installation.status())
                self._off.wait(_STATUS_EVERY_S)

    def _end_threads(self) -> None:
        self._tasks.put(None)
        self._news.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def _clean_up(self) -> None:
        self._credentials.stop()
        if self._socket_folder is not None:
            self._socket_folder.unlink(missing_ok=True)


def _initialise(configuration: Configuration, device: Device, *, at_ms: int) -> None:
    """Merge what the nucleus is installed with, as old as its file: only newer deployments win over it."""
    initial = {name: service.configuration for name, service in device.config.services.items()}
    for name in {NUCLEUS, *initial}:
        values = {"awsRegion": device.region} if name == NUCLEUS else {}
        configuration.merge(name, (), values | initial.get(name, {}), at_ms=at_ms, conflicts="keep")


def _failure(state: str, code: str, cause: str) -> dict[str, str]:
    """Return status details within IoT Jobs' 1,024 characters a value."""
    between, types = _MORE.get(code, ((), ()))
    return {
        "detailed-deployment-status": state,
        "deployment-failure-cause": cause[:1000],
        "deployment-error-stack": compact(["DEPLOYMENT_FAILURE", *between, code]).decode(),
        "deployment-error-types": compact([*types]).decode(),
    }


def _short_folder(folder: Folder) -> Path | None:
    """Return a link to the device's folder where its own path is too long for a socket; None otherwise."""
    if len(str(folder.socket)) <= _LONGEST_SOCKET_PATH:
        return None
    link = Path(tempfile.mkdtemp(prefix="core-")) / "d"
    link.symlink_to(folder.root.resolve())
    return link
