"""The local platform: everything of fleetgrass on one machine, started in order and stopped in reverse.

Production code does production's work: ``python -m cloud`` deploys the real template and enrols the devices,
the component is built, published and run as on AWS. Each works with a key of its own.
"""

import json
import platform as machine
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import boto3

from local.aws.account import ACCOUNT, REGION, Key, LocalAws, aws_environment, emulator_python
from local.aws.iam_users import STACK, make_operators
from local.aws.publish import NEXT_PATCH, PublishError, publish
from local.docker import images
from local.docker.engine import busybox, obtain
from local.docker.registry_proxy import RegistryFront
from local.greengrass.devices import Device, machine_configuration
from local.greengrass.nucleus.dialect import DIALECTS
from local.identity.server import AUDIENCE, IdentityProvider
from local.process import crash_cleanup, engine_leftovers
from local.process.children import PYTHON, ROOT, Child, DidNotStart, chosen_ports, run_tool
from local.process.docker_socket import answers

Say = Callable[[str], None]
Dialect = Literal["classic", "lite", "lite-main"]


#: The devices that the demo and `make up` have, and the group each is in.
NETWORK = "127.0.0"
DEVICES: Mapping[str, str] = {"robot-1": "line-3", "robot-2": "line-3"}

#: The console's, served by whoever works on it; nothing of the platform listens there.
CONSOLE_ORIGIN = "http://localhost:5173"

_PURPOSES = ("AWS", "MQTT", "Greengrass's control plane", "sign-in", "the registry")
_OFF_S = 6  # how long a rebooting device is away: long enough to be seen offline
_DEBOUNCE_S = 1


class Platform:
    """A running platform. Make one with ``start``; ``stop`` it, or use it as a context manager."""

    region = REGION
    account = ACCOUNT
    mqtt_host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        dialect: Dialect,
        engine: Literal["docker", "memory"],
        sources: Path,
        network: str,
        say: Say,
    ) -> None:
        self.folder = folder
        self.sources = sources
        self.dialect = dialect
        self.engine = engine
        self.devices: dict[str, Device] = {}
        self.outputs: dict[str, str] = {}
        self.keys: dict[str, Key] = {}
        self.docker_host = ""
        self._network = network
        self._say = say
        self._stack = ExitStack()
        self._children: dict[str, Child] = {}
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._remains = crash_cleanup.Remains()
        self._stack.callback(self._remains.close)
        self._remains.folder(folder)
        self._short = Path(tempfile.mkdtemp(prefix="fg-"))
        self._short.chmod(0o755)  # a device's other users see its folders, as they see /greengrass
        self._remains.folder(self._short)
        self._stack.callback(shutil.rmtree, self._short, ignore_errors=True)

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        dialect: Dialect = "classic",
        engine: Literal["docker", "memory"] = "docker",
        devices: Mapping[str, str] = DEVICES,
        sources: Path = ROOT,
        network: str = NETWORK,
        say: Say = lambda _: None,
    ) -> "Platform":
        """Start everything, its files below ``folder``, and enrol ``devices`` (thing → group).

        The devices' containers publish on addresses in ``network``, .11 and up: a platform beside another
        one needs its own.

        ``sources`` is the checkout whose cloud and component these are; the stand-ins are this one's.
        ``say`` is told each step before it begins. Ports are free ones, or five from FLEETGRASS_PORT on.

        Raises:
            PortInUse, EngineUnavailable, EngineTaken: with one line that says what to do.
            DidNotStart: a part failed; the line names its log. Everything else is stopped; logs are kept.
        """
        crash_cleanup.clear(say)
        platform = cls(folder, dialect, engine, sources, network, say)
        try:
            platform._start(devices)
        except BaseException:
            platform._stop()
            raise
        return platform

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop everything in reverse order and remove what it made, ``folder`` included. Idempotent."""
        self._stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pids(self) -> dict[str, int]:
        """Return the process ids of everything that runs outside this process, by name."""
        cores = {thing: device.child.pid for thing, device in self.devices.items()}
        return {name: child.pid for name, child in self._children.items()} | cores

    def leftovers(self) -> list[str]:
        """Return what is still on the machine of a stopped platform; empty when nothing."""
        running = [
            f"process {name} ({pid})" for name, pid in self.pids().items() if Path(f"/proc/{pid}").exists()
        ]
        folders = [str(folder) for folder in (self.folder, self._short) if folder.exists()]
        traces = engine_leftovers.find(self.docker_host, self.devices, self.registry_address)
        return running + folders + traces

    def token(self, role: str, **claims: Any) -> str:
        """Return a bearer token with ``role`` (``Fleet.Operator`` or ``Fleet.Operator:line-3``)."""
        return self.identity.token(role, **claims)

    def environment(self, job: str) -> dict[str, str]:
        """Return the AWS environment of one of the operators: ``enroller``, ``publisher``, …"""
        return aws_environment(self.endpoint_url, self.keys[job])

    def add_device(
        self, thing: str, group: str, *, agent: Mapping[str, Any] | None = None, **core: Any
    ) -> Device:
        """Enrol a device and power it on; its containers publish on an address of its own.

        ``agent`` and ``core`` are what it has unlike the platform's other devices, of the agent's
        configuration and of ``device.json`` (``local.greengrass.nucleus.device.Device``).
        """
        self.enroll(thing, group, core.get("dialect"))
        address = f"{self._network}.{11 + len(self.devices)}"
        return self.start_device(thing, publish_address=address, agent=agent, **core)

    def update_stack(self, sources: Path) -> None:
        """Bring the stack to what another checkout has, as the production command does."""
        self.sources = sources
        self._deploy_stack()

    def publish_component(self, sources: Path) -> str:
        """Build the component of a checkout, publish it, and return its version."""
        self._say("building and publishing io.fleetgrass.Agent")
        built = Path(tempfile.mkdtemp(prefix="greengrass-build-", dir=self.folder))
        command = [PYTHON, "edge/packaging/build.py", f"--output={built}"]
        command.append(f"--architectures={images.architecture()}")
        run_tool("component", command, {}, log=self._logs / f"{built.name}.log", folder=sources)
        key = self.keys["publisher"]
        session = boto3.Session(key.access_key_id, key.secret_access_key, region_name=REGION)
        bucket = self.outputs["Bucket"]
        recipe = (sources / "recipe.yaml").resolve().name
        try:
            return publish(
                built,
                recipe,
                session=session,
                endpoint_url=self.endpoint_url,
                bucket=bucket,
                stack_bucket=bucket,
                region=REGION,
            ).version
        except PublishError as error:
            raise DidNotStart(f"publishing the component failed: {error}") from error

    def upgrade_agent(self, group: str, version: str | None = None) -> str:
        """Bring a group's devices to an agent with the production command; return its version.

        Without ``version`` to what the stack names, or else the newest published.
        """
        arguments = ["upgrade-agent", "--json", "--stack", STACK, "--group", group]
        arguments += [] if version is None else ["--version", version]
        done = self._tool(f"upgrade-agent-{group}", "cloud", arguments, "upgrader", ROOT)
        return str(json.loads(done)["agent_version"])

    def enroll(self, thing: str, group: str, dialect: Dialect | None = None) -> None:
        """Enrol a device with the production command; its nucleus is the platform's, or ``dialect``'s."""
        arguments = ["enroll", "--stack", STACK, "--thing", thing, "--group", group]
        if self.sources == ROOT:  # the version before knows classic only
            arguments += ["--nucleus", DIALECTS[dialect or self.dialect].kind]
        self._tool(f"enroll-{thing}", "cloud", [*arguments, "--out", str(self._identity(thing))], "enroller")

    def start_device(
        self, thing: str, *, publish_address: str, agent: Mapping[str, Any] | None = None, **core: Any
    ) -> Device:
        """Power on an enrolled device; ``agent`` and ``core`` as of ``add_device``."""
        folder, identity = self._short / thing, self._identity(thing)
        folder.mkdir()
        settings = {
            "thing": thing,
            "region": REGION,
            "account": ACCOUNT,
            "endpoint_url": self.endpoint_url,
            "mqtt_host": self.mqtt_host,
            "mqtt_port": self.mqtt_port,
            "ca_path": str(self.ca_path),
            "cert_path": str(identity / "device.pem.crt"),
            "key_path": str(identity / "private.pem.key"),
            "role_arn": self.outputs["TokenExchangeRole"],
            "dialect": self.dialect,
            "docker_host": self.docker_host,
            "off_s": _OFF_S,
            "config": machine_configuration(folder, publish_address, self.registry_address, agent or {}),
        } | core
        self._remains.containers(self.docker_host, thing, self.registry_address)
        device = Device(folder, self._logs / thing, settings, self.environment("core"))
        self._remains.process(device.child.pid)
        self.devices[thing] = device
        return device

    def _start(self, devices: Mapping[str, str]) -> None:
        ports = chosen_ports(_PURPOSES)
        self._start_engine()
        self._say("starting the local AWS")
        control_plane = f"http://127.0.0.1:{ports[2]}"
        aws = LocalAws(self.folder, port=ports[0], mqtt_port=ports[1], control_plane=control_plane)
        self.aws = aws
        self._stack.callback(aws.stop)
        self._keep("emulator", aws.child)
        self.endpoint_url, self.mqtt_port = aws.endpoint_url, aws.mqtt_port
        self.ca_path = self.folder / "ca.pem"
        self.ca_path.write_bytes(aws.ca_certificate())
        self.keys = make_operators(self.endpoint_url)
        self._start_control_plane(ports[2])
        self.identity = IdentityProvider(ports[3])
        self._stack.callback(self.identity.stop)
        self.issuer_url = self.identity.issuer_url
        self.registry = RegistryFront(self.endpoint_url, aws.token_key, ports[4])
        self._stack.callback(self.registry.stop)
        self.registry_address = self.registry.address
        self._stack.callback(engine_leftovers.remove, self.docker_host, self.devices, self.registry_address)
        self._stack.callback(self._remove_devices)
        self._deploy_stack()
        self._push_images()
        self.publish_component(self.sources)
        for thing, group in devices.items():
            self._say(f"enrolling {thing} into {group} and powering it on")
            self.add_device(thing, group)

    def _start_engine(self) -> None:
        if self.engine == "docker":
            engine = obtain(self._say)
            self._stack.callback(engine.stop)
            self._remains.claim_engine(engine.docker_host)
            self.docker_host = engine.docker_host
            self._busybox = busybox()
            return
        self._say("starting a simulated Docker Engine: its containers are no processes")
        socket_path = self._short / "engine.sock"
        self.docker_host = f"unix://{socket_path}"
        self._busybox = b"nothing runs this: the engine is simulated"
        command = [PYTHON, "-m", "local.docker.memory_engine", f"--socket={socket_path}"]
        child = self._child("memory-engine", "the simulated engine", command, {})
        child.wait_until(lambda: answers(self.docker_host), within_s=20)

    def _start_control_plane(self, port: int) -> None:
        command = [
            PYTHON,
            "-m",
            "local.greengrass.control_plane",
            f"--port={port}",
            f"--endpoint-url={self.endpoint_url}",
        ]
        command += [f"--folder={self.folder / 'greengrass'}", f"--region={REGION}", f"--account={ACCOUNT}"]
        environment = self.environment("control-plane")
        child = self._child("control-plane", "the Greengrass control plane", command, environment)
        child.wait_until(lambda: _listens(port), within_s=20)

    def _child(self, name: str, title: str, command: list[str], environment: Mapping[str, str]) -> Child:
        child = Child(title, command, log=self._logs / f"{name}.log", environment=environment)
        self._stack.callback(child.stop)
        self._keep(name, child)
        return child

    def _keep(self, name: str, child: Child) -> None:
        self._children[name] = child
        self._remains.process(child.pid)

    def _deploy_stack(self) -> None:
        self._say("building the Lambdas and deploying cloud/template.yaml")
        jwks_uri = f"{self.issuer_url}/jwks"
        issuer = {
            "issuer": self.issuer_url,
            "audience": AUDIENCE,
            "jwks_uri": jwks_uri,
            "roles_claim": "roles",
        }
        parameters = {
            "Issuers": json.dumps([issuer]),
            "AgentVersion": _fixed_version(self.sources),
            "OfflineDebounceS": str(_DEBOUNCE_S),
            "ConsoleOrigin": CONSOLE_ORIGIN,
            "Local": "true",
        }
        architecture = "arm64" if machine.machine() == "aarch64" else "x86_64"
        python = _version_of_lambdas()
        arguments = [
            "deploy",
            "--json",
            f"--stack={STACK}",
            f"--python={python}",
            f"--architecture={architecture}",
        ]
        arguments += [f"--parameter={name}={value}" for name, value in parameters.items()]
        self.outputs = json.loads(self._tool("deploy", "cloud", arguments, "deployer"))
        self.api_url = f"{self.endpoint_url}/_aws/execute-api/{self.outputs['ApiId']}"

    def _push_images(self) -> None:
        self._say(f"pushing sample images to {images.REPOSITORY}: v1, v2 and failing")
        for tag, image in images.samples(self._busybox, images.architecture()).items():
            images.push(image, self.endpoint_url, images.REPOSITORY, [tag])

    def _identity(self, thing: str) -> Path:
        return self.folder / "identities" / thing

    def _tool(
        self, name: str, module: str, arguments: list[str], job: str, sources: Path | None = None
    ) -> str:
        command = [PYTHON, "-m", module, *arguments]
        log = self._logs / f"{name}.log"
        return run_tool(name, command, self.environment(job), log=log, folder=sources or self.sources)

    def _remove_devices(self) -> None:
        if self.devices:
            with ThreadPoolExecutor(len(self.devices)) as pool:
                list(pool.map(Device.remove, self.devices.values()))

    def _stop(self) -> None:
        self._stack.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _fixed_version(sources: Path) -> str:
    """Return the version that the checkout's component is built with; empty where publishing decides it."""
    [settings] = json.loads((sources / "gdk-config.json").read_text())["component"].values()
    return "" if settings["version"] == NEXT_PATCH else str(settings["version"])


def _version_of_lambdas() -> str:
    """The emulator runs Lambdas with its own Python, so that is what their wheels must be for."""
    asked = [str(emulator_python()), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
