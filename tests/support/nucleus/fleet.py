"""A small cloud for core devices: the mended emulator, the control plane, one published component."""

import base64
import hashlib
import io
import json
import secrets
import ssl
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import paho.mqtt.client as paho
from botocore.exceptions import BotoCoreError, ClientError
from paho.mqtt.enums import CallbackAPIVersion

from local.aws.account import ACCOUNT, REGION, ROOT_KEY, LocalAws, aws_environment, client_arguments
from local.greengrass.nucleus.dialect import CLASSIC
from local.process.children import Child, free_ports

PROBE = "com.example.Probe"
_PROBE = Path(__file__).parent / "probe.py"
_ROOT = Path(__file__).parents[3]


def recipe(version: str, bucket: str, digest: str | None = None, **lifecycle: Any) -> dict[str, Any]:
    """The probe's recipe; ``lifecycle`` replaces its steps."""
    artifact: dict[str, Any] = {"URI": f"s3://{bucket}/{PROBE}/{version}/probe.zip", "Unarchive": "ZIP"}
    if digest is not None:
        artifact |= {"Digest": digest, "Algorithm": "SHA-256"}
    script = f'exec "{sys.executable}" "{{artifacts:decompressedPath}}/probe/probe.py" {version}'
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": PROBE,
        "ComponentVersion": version,
        "ComponentDependencies": {
            "aws.greengrass.TokenExchangeService": {"VersionRequirement": ">=2.0.0", "DependencyType": "HARD"}
        },
        "ComponentConfiguration": {
            "DefaultConfiguration": {
                "interval": 5,
                "place": {"line": "a"},
                "accessControl": {
                    "aws.greengrass.ipc.mqttproxy": {
                        f"{PROBE}:mqttproxy:1": {
                            "operations": ["*"],
                            "resources": ["probe/+/#"],
                        }
                    }
                },
            }
        },
        "Manifests": [
            {
                "Platform": {"os": "linux", "architecture": "*", "runtime": "*"},
                "Lifecycle": {
                    "Setenv": {"HELLO": "from the recipe"},
                    "install": 'echo installed >> "{work:path}/installs"',
                    "run": script,
                    **lifecycle,
                },
                "Artifacts": [artifact],
            }
        ],
    }


def until(true: Callable[[], bool], within_s: float) -> bool:
    """Whether it came to be within that time."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def allow(action: str | list[str], resource: str) -> dict[str, Any]:
    """A policy of one statement."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


@dataclass(slots=True)
class Cloud:
    """A client of the broker that hears what every probe says."""

    client: paho.Client
    heard: list[dict[str, Any]] = field(default_factory=list)

    def of(self, event: str) -> list[dict[str, Any]]:
        """The probe's messages of one kind, oldest first."""
        return [message for message in list(self.heard) if message["event"] == event]

    def publish(self, topic: str, payload: str) -> None:
        """Publish and wait until the broker has it."""
        self.client.publish(topic, payload, qos=1).wait_for_publish(10)


class Fleet:
    """Everything the core devices of one test session share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._of_lite: set[str] = set()  # targets
        port, mqtt_port, control_plane = free_ports(3)
        self.aws = LocalAws(
            folder, port=port, mqtt_port=mqtt_port, control_plane=f"http://127.0.0.1:{control_plane}"
        )
        self._control_plane = Child(
            "the control plane",
            [
                *(sys.executable, "-m", "local.greengrass.control_plane", "--port", str(control_plane)),
                *("--endpoint-url", self.aws.endpoint_url, "--folder", str(folder / "greengrass")),
            ],
            log=folder / "control-plane.log",
            environment=aws_environment(self.aws.endpoint_url, ROOT_KEY),
        )
        self._ca = folder / "ca.pem"
        self._ca.write_bytes(self.aws.ca_certificate())
        self.greengrass = self.client("greengrassv2")
        self._bucket = "artifacts-of-the-core-tests"
        self.client("s3").create_bucket(
            Bucket=self._bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        self.role = self.make_role(allow("s3:GetObject", f"arn:aws:s3:::{self._bucket}/*"))
        assert until(self._serves, 15)

    def stop(self) -> None:
        self._control_plane.stop()
        self.aws.stop()

    def client(self, service: str) -> Any:
        """A boto3 client with the root key."""
        return boto3.client(service, **client_arguments(self.aws.endpoint_url, ROOT_KEY))  # type: ignore[call-overload]

    def make_role(self, *policies: dict[str, Any]) -> str:
        """Make a role that the credential provider may take; return its ARN."""
        principal = {"Effect": "Allow", "Principal": {"Service": "credentials.iot.amazonaws.com"}}
        trust = {"Version": "2012-10-17", "Statement": [{**principal, "Action": "sts:AssumeRole"}]}
        name, iam = f"role-{secrets.token_hex(4)}", self.client("iam")
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        for number, policy in enumerate(policies):
            iam.put_role_policy(RoleName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(policy))
        return str(made["Role"]["Arn"])

    def make_thing(self, more: Sequence[str] = ("greengrass:*",)) -> tuple[str, Path, Path]:
        """Make a thing that may do everything in IoT, and ``more``; return its name, certificate and key."""
        iot, thing = self.client("iot"), f"thing-{secrets.token_hex(4)}"
        iot.create_thing(thingName=thing)
        made = iot.create_keys_and_certificate(setAsActive=True)
        iot.create_policy(policyName=thing, policyDocument=json.dumps(allow(["iot:*", *more], "*")))
        iot.attach_policy(policyName=thing, target=made["certificateArn"])
        iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
        certificate, key = self._folder / f"{thing}.pem", self._folder / f"{thing}.key"
        certificate.write_text(made["certificatePem"])
        key.write_text(made["keyPair"]["PrivateKey"])
        return thing, certificate, key

    @contextmanager
    def cloud(self) -> Iterator[Cloud]:
        """A connected client that is subscribed to all probes."""
        thing, certificate, key = self.make_thing()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=thing)
        context = ssl.create_default_context(cafile=str(self._ca))
        context.load_cert_chain(certificate, key)
        client.tls_set_context(context)
        cloud, ready = Cloud(client), threading.Event()
        client.on_connect = lambda *_: client.subscribe("probe/+/out", 1) and None
        client.on_subscribe = lambda *_: ready.set()
        client.on_message = lambda _, __, message: cloud.heard.append(json.loads(message.payload))
        client.connect("127.0.0.1", self.aws.mqtt_port, keepalive=30)
        client.loop_start()
        try:
            assert ready.wait(10)
            yield cloud
        finally:
            client.disconnect()
            client.loop_stop()

    def publish(self, version: str, *, wrong_digest: bool = False, **lifecycle: Any) -> None:
        """Publish the probe as ``version``."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.write(_PROBE, "probe.py")
        archived = buffer.getvalue()
        self.client("s3").put_object(Bucket=self._bucket, Key=f"{PROBE}/{version}/probe.zip", Body=archived)
        digest = base64.b64encode(hashlib.sha256(archived).digest()).decode()
        document = recipe(version, self._bucket, digest, **lifecycle)
        self.greengrass.create_component_version(inlineRecipe=json.dumps(document).encode())
        if wrong_digest:
            self.client("s3").put_object(
                Bucket=self._bucket, Key=f"{PROBE}/{version}/probe.zip", Body=archived + b"tampered"
            )

    def core(
        self, group: str, *, dialect: str, folder: Path, may: Sequence[str] = ("greengrass:*",), **more: Any
    ) -> "Core":
        """Make a thing in ``group`` and its device folder; the process is not started."""
        (thing, certificate, key), iot = self.make_thing(may), self.client("iot")
        iot.create_thing_group(thingGroupName=group)
        iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
        if dialect != CLASSIC.name:
            self._of_lite |= {group, f"thing/{thing}"}
        folder.mkdir(exist_ok=True)
        settings = {
            "thing": thing,
            "region": REGION,
            "account": ACCOUNT,
            "endpoint_url": self.aws.endpoint_url,
            "mqtt_host": "127.0.0.1",
            "mqtt_port": self.aws.mqtt_port,
            "ca_path": str(self._ca),
            "cert_path": str(certificate),
            "key_path": str(key),
            "role_arn": self.role,
            "dialect": dialect,
            "off_s": 0.3,
            "component_user": None,
            **more,
        }
        (folder / "device.json").write_text(json.dumps(settings))
        return Core(self, thing, folder)

    def deploy(self, group: str, version: str | None, **update: Any) -> str:
        """Deploy the probe (None: nothing but the nucleus' own) to a group or ``thing/…``; return its id.

        To one of Lite it is the probe alone.
        """
        components: dict[str, Any] = (
            {}
            if group in self._of_lite
            else {
                "aws.greengrass.Nucleus": {
                    "componentVersion": "2.18.0",
                    "configurationUpdate": {"merge": json.dumps({"interpolateComponentConfiguration": True})},
                },
            }
        )
        if version is not None:
            change = {key: json.dumps(value) if key == "merge" else value for key, value in update.items()}
            components[PROBE] = {"componentVersion": version, "configurationUpdate": change}
        target = group if "/" in group else f"thinggroup/{group}"
        made = self.greengrass.create_deployment(
            targetArn=f"arn:aws:iot:{REGION}:{ACCOUNT}:{target}", components=components
        )
        return str(made["deploymentId"])

    def _serves(self) -> bool:
        with suppress(BotoCoreError, ClientError):
            self.greengrass.list_core_devices()
            return True
        return False


class Core:
    """One core device as a process, and what the cloud hears of it."""

    def __init__(self, fleet: Fleet, thing: str, folder: Path) -> None:
        self._fleet = fleet
        self.thing = thing
        self.folder = folder
        self._child: Child | None = None

    def power_on(self) -> None:
        """Start the process."""
        self._child = Child(
            self.thing,
            [sys.executable, "-m", "local.greengrass.nucleus", str(self.folder)],
            log=self.folder / "core.log",
            environment={**ROOT_KEY.environment(), "PYTHONPATH": str(_ROOT)},
        )

    def shut_down(self) -> None:
        """SIGTERM, and wait."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL the core alone: its components live on, as after a crash."""
        assert self._child is not None
        self._child.kill()

    def command(self, line: str) -> None:
        """Write one line to the power FIFO."""
        with (self.folder / "power").open("w") as fifo:
            fifo.write(line + "\n")

    def boot_id(self) -> str:
        return (self.folder / "boot_id").read_text().strip()

    def outcome(self, deployment_id: str) -> tuple[str, dict[str, str]]:
        """Wait for the end of the device's execution of a deployment; return status and details."""
        found: list[tuple[str, dict[str, str]]] = []

        def ended() -> bool:
            iot = self._fleet.client("iot")
            job = self._fleet.greengrass.get_deployment(deploymentId=deployment_id)["iotJobId"]
            try:
                execution = iot.describe_job_execution(jobId=job, thingName=self.thing)["execution"]
            except iot.exceptions.ResourceNotFoundException:
                return False
            found.append((execution["status"], execution.get("statusDetails", {}).get("detailsMap", {})))
            return execution["status"] not in ("QUEUED", "IN_PROGRESS")

        assert until(ended, 20), f"still {found[-1:]}: {self.log()}"
        return found[-1]

    def log(self) -> str:
        path = self.folder / "logs" / "greengrass.log"
        return path.read_text()[-6000:] if path.exists() else "(no log)"


def soon(true: Callable[[], bool], core: Core) -> None:
    """Assert that it comes to be; show the core's log when not."""
    assert until(true, 15), core.log()
