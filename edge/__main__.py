"""``python -m edge``: wires ports to adapters, the one place that does. It runs in the state folder."""

import logging
import os
import random
import secrets
import signal
import sys
import time
from functools import partial
from pathlib import Path

from edge.agent import Agent
from edge.agent_log import keep_log
from edge.agent_ports import Ports
from edge.aws import token_exchange
from edge.aws.logins import RegistryLogins
from edge.aws.process import AwsProcess
from edge.aws.secrets import AwsSecrets
from edge.background import run_and_deliver
from edge.bundles.collecting import LogBundles
from edge.clock import SystemClock
from edge.configuration.kept_settings import KeptSettings, say
from edge.configuration.settings import Environment, EnvironmentInvalid, Reading, parse_environment
from edge.containers.container_ports import ContainerPorts, ContainerSettings
from edge.containers.model.image_gc import DiskReserve
from edge.containers.observe.usage import Meter
from edge.containers.reconciler import Reconciler
from edge.containers.store.pulled_images import PulledImages
from edge.engine.docker import DockerEngine
from edge.engine.listening import Listening
from edge.events import (
    Collected,
    EngineChanged,
    Examined,
    Fetched,
    Inbox,
    Progressed,
    ShutDown,
)
from edge.host.health import LinuxHealth, disk_space
from edge.host.machine import CHECKS, LinuxMachine
from edge.link.endings import Endings
from edge.link.greengrass import GreengrassLink
from edge.link.patience import LinkGone, Patience
from edge.ports.engine import Engine
from edge.ports.engine_errors import EngineError
from edge.ports.link import LinkError
from edge.ports.machine import MachineError
from edge.preflight.examiner import Examiner
from edge.preflight.image_inspector import ImageInspector
from edge.preflight.registry import HttpRegistry
from edge.startup.first_settings import first_settings
from edge.startup.own_folder import OwnFolder
from edge.startup.own_folder import take as take_own_folder
from edge.storage.lock import LockError
from edge.storage.state import StateFolder
from edge.version import AGENT_VERSION
from edge.worker_pool import Threads

LOG_FORM = "%(asctime)s %(levelname)s %(name)s %(message)s"

log = logging.getLogger("edge")


def main() -> int:
    """Return the exit status: 0 after SIGTERM, 1 when the nucleus must start it anew, 2 if it cannot run."""
    # Only our own words below WARNING: the SDKs' would hold payloads and tokens.
    logging.basicConfig(level=logging.WARNING, format=LOG_FORM, stream=sys.stdout)
    log.setLevel(logging.INFO)
    try:
        own_folder = take_own_folder()  # before anything in it is read
    except LockError as error:
        log.error("another agent works here: code=%s error=%s", error.code, error)
        return 1
    keep_log(Path.cwd(), LOG_FORM)
    inbox = Inbox()
    try:
        environment = parse_environment(os.environ)
        link = GreengrassLink(socket=environment.ipc_socket, token=environment.ipc_token, deliver=inbox.put)
        reading, connected = _first_settings(link, own_folder)
        log.setLevel(reading.settings.log_level)
        say(reading)
        agent = wire(environment, reading, link, inbox, own_folder, connected=connected)
    except (EnvironmentInvalid, MachineError) as error:
        log.error("the agent cannot run here: %s", error)
        return 2
    except LinkGone as error:
        log.error("the nucleus must start this component anew: code=%s error=%s", error.code, error)
        return 1
    # Before this point there is no link for a goodbye, and the signal simply ends the process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: inbox.put(ShutDown()))
    log.info("agent started: version=%s thing=%s", AGENT_VERSION, environment.thing)
    status = agent.run()
    link.close()
    log.info("agent ended: status=%d", status)
    return status


def wire(
    environment: Environment,
    reading: Reading,
    link: GreengrassLink,
    inbox: Inbox,
    own_folder: OwnFolder = OwnFolder(),  # noqa: B008 - frozen
    *,
    connected: bool = True,
) -> Agent:
    """Return the agent over the real adapters; ``link`` delivers into ``inbox``.

    So does the engine, which is listened to from now on.
    """
    folder, settings = Path.cwd(), reading.settings
    clock = SystemClock()
    aws = AwsProcess(token_exchange=lambda: _token_exchange(link))
    engine = DockerEngine()
    engine_disk = _EngineDisk(engine, folder)
    credentials = RegistryLogins(aws.registry_login, clock)
    images = ImageInspector(engine, credentials, HttpRegistry())
    examiner = Examiner(
        images=images,
        mirrors=settings.registry_mirrors,
        floor=DiskReserve(settings.disk_floor_mib << 20),
        disk=lambda: disk_space(engine_disk()),
        pulled=lambda: PulledImages(StateFolder(folder)).all(),
    )
    bundles = LogBundles(
        engine=engine,
        thing=environment.thing,
        folder=folder,
        secrets_folder=settings.secrets_folder,
        disk=disk_space,
    )
    # Documents of two revisions: looking into one may wait for an engine that hangs.
    fetchers, examiners, bundlers = Threads("fetch-desired", 1), Threads("preflight", 2), Threads("bundle", 1)
    agent = Agent(
        Ports(
            link=link,
            inbox=inbox,
            state=own_folder.state(),
            machine=LinuxMachine(reboot_command=settings.reboot_command),
            health=LinuxHealth(engine_disk),
            containers=Reconciler(
                ContainerPorts(
                    engine=engine,
                    credentials=credentials,
                    clock=clock,
                    state=StateFolder(folder),
                    estimate_pull_bytes=partial(
                        images.estimate_pull_bytes, mirrors=settings.registry_mirrors
                    ),
                    secrets=AwsSecrets(aws.secrets),
                    disk=lambda: disk_space(engine_disk()),
                    on_progress=lambda: inbox.put(Progressed()),
                ),
                ContainerSettings(
                    thing=environment.thing,
                    folder=folder,
                    publish_address=settings.publish_address,
                    registry_mirrors=settings.registry_mirrors,
                    secrets_folder=settings.secrets_folder,
                    policy=settings.policy,
                    floor=DiskReserve(settings.disk_floor_mib << 20),
                    healthy_poll_s=settings.healthy_poll_s,
                    earlier_folder=own_folder.earlier,
                ),
            ),
            meter=Meter(engine, clock),
            clock=clock,
            fetch=lambda uri: run_and_deliver(
                fetchers,
                "fetching the desired document",
                lambda: Fetched(uri, aws.document(uri)),
                inbox.put,
                partial(Fetched, uri, None),
            ),
            inspect=lambda number, document, policy: run_and_deliver(
                examiners,
                "looking into a document",
                lambda: Examined(number, examiner.verdict(document, policy)),
                inbox.put,
                lambda *_: Examined(number, None),  # a fault of ours is no fault of the document
            ),
            collect=lambda command: run_and_deliver(
                bundlers,
                "collecting logs",
                lambda: Collected(command.id, bundles.bundle(command)),
                inbox.put,
                partial(Collected, command.id, None),
            ),
            random=random.random,
            token=lambda: secrets.token_hex(16),
            checks=CHECKS,
            lock_wanted=lambda: _is_lock_wanted(own_folder),
        ),
        thing=environment.thing,
        reading=reading,
        connected=connected,
        unsafe_folder=own_folder.unsafe,
    )
    Listening(engine, environment.thing, lambda: inbox.put(EngineChanged())).start()
    return agent


def _first_settings(link: GreengrassLink, own_folder: OwnFolder) -> tuple[Reading, bool]:
    state = StateFolder(Path.cwd())
    patience = Patience(
        endings=Endings(state, SystemClock()),
        lock_wanted=lambda: _is_lock_wanted(own_folder),
        spread=lambda seconds: seconds * random.uniform(0.8, 1.2),  # noqa: S311 - spreads a fleet
    )
    return first_settings(link, KeptSettings(state), CHECKS, patience, time.sleep)


def _is_lock_wanted(own_folder: OwnFolder) -> bool:
    return own_folder.lock is not None and own_folder.lock.wanted()


def _token_exchange(link: GreengrassLink) -> str | None:
    try:
        return token_exchange.address_in(link.configuration_of(token_exchange.COMPONENT))
    except LinkError as error:
        log.info("the nucleus does not say where token exchange is: code=%s", error.code)
        return None


class _EngineDisk:
    """The engine's data root once it was told, else ``otherwise``; asked no more then, because an engine
    that hangs would hold up every heartbeat."""

    def __init__(self, engine: Engine, otherwise: Path) -> None:
        self._engine = engine
        self._otherwise = otherwise
        self._root: Path | None = None

    def __call__(self) -> Path:
        if self._root is None:
            try:
                self._root = Path(self._engine.information().data_root)
            except EngineError:
                return self._otherwise
        return self._root if self._root.is_dir() else self._otherwise


if __name__ == "__main__":
    sys.exit(main())
