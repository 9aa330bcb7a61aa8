"""Small AWS things made on the fly, for the emulator's conformance tests."""

import io
import json
import secrets
import ssl
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from local.aws.account import ACCOUNT, REGION, ROOT_KEY, LocalAws, client_arguments

WAIT_S = 15.0
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["lambda.amazonaws.com", "iot.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}
#: What the functions of these tests share: ``tell(x)`` sends x to the queue in SEEN.
PRELUDE = """
import json, os
import boto3
def tell(message):
    boto3.client("sqs").send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(message))
"""


def allow(action: str | list[str], resource: str = "*") -> dict[str, Any]:
    """An IAM (or IoT) policy with one statement."""
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}],
    }


def until(true: Callable[[], bool], within_s: float = WAIT_S) -> bool:
    """Whether ``true`` came to be within that time."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@dataclass
class Device:
    """A thing with its certificate, as files."""

    thing: str
    certificate: Path
    key: Path


@dataclass
class Connection:
    """A connected MQTT client and what it heard."""

    client: mqtt.Client
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    disconnected: threading.Event = field(default_factory=threading.Event)

    def hears(self, topic: str) -> dict[str, Any]:
        """Return the JSON of the first message on ``topic``, waiting for it."""
        assert until(lambda: any(name == topic for name, _ in self.heard)), f"nothing heard on {topic}"
        message: dict[str, Any] = json.loads(next(payload for name, payload in self.heard if name == topic))
        return message


class Lab:
    """Everything is made with the emulator's root key and a name that nobody else has."""

    def __init__(self, aws: LocalAws, folder: Path, control_plane_port: int) -> None:
        self.aws = aws
        self.control_plane_port = control_plane_port
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(aws.ca_certificate())

    def client(self, service: str) -> Any:
        """A boto3 client with the root key."""
        return boto3.client(service, **client_arguments(self.aws.endpoint_url, ROOT_KEY))  # type: ignore[call-overload]

    def name(self) -> str:
        """A name nothing has yet."""
        return f"lab{secrets.token_hex(4)}"

    def queue(self, **attributes: str) -> str:
        """Make a queue; returns its URL."""
        url: str = self.client("sqs").create_queue(QueueName=self.name(), Attributes=attributes)["QueueUrl"]
        return url

    def queue_arn(self, url: str) -> str:
        """The ARN of a queue."""
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{url.rsplit('/', 1)[1]}"

    def receive_raw(self, url: str, count: int = 1, within_s: float = WAIT_S) -> list[str]:
        """Return ``count`` messages' bodies, waiting for them."""
        bodies: list[str] = []
        deadline = time.monotonic() + within_s
        sqs = self.client("sqs")
        while len(bodies) < count:
            assert time.monotonic() < deadline, f"{len(bodies)} of {count} messages came: {bodies}"
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in got.get("Messages", []):
                bodies.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def receive(self, url: str, count: int = 1, within_s: float = WAIT_S) -> list[Any]:
        """Return ``count`` messages, parsed, waiting for them."""
        return [json.loads(body) for body in self.receive_raw(url, count, within_s)]

    def role(self, *policies: dict[str, Any]) -> str:
        """Make a role that Lambda and IoT rules may take; returns its ARN."""
        iam, name = self.client("iam"), self.name()
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        for number, policy in enumerate(policies):
            iam.put_role_policy(RoleName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(policy))
        arn: str = role["Role"]["Arn"]
        return arn

    def function(self, code: str, *, seen: str, role: str | None = None, **options: Any) -> str:
        """Make a function with ``handler(event, context)``; returns its ARN. It may send to ``seen``."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(zipfile.ZipInfo("index.py"), PRELUDE + textwrap.dedent(code))
        made = self.client("lambda").create_function(
            FunctionName=self.name(),
            Runtime="python3.13",
            Handler="index.handler",
            Role=role or self.role(allow(["sqs:*", "lambda:InvokeFunction"])),
            Code={"ZipFile": buffer.getvalue()},
            Timeout=10,
            Environment={"Variables": {"SEEN": seen}},
            **options,
        )
        arn: str = made["FunctionArn"]
        return arn

    def everything_from(self, topic: str) -> str:
        """The SQL of a rule that passes a topic's messages on as they are."""
        return f"SELECT * FROM '{topic}'"  # noqa: S608 - a rule, and a topic of our own

    def rule(self, sql: str, *actions: dict[str, Any]) -> None:
        """Make an IoT rule."""
        self.client("iot").create_topic_rule(
            ruleName=self.name(),
            topicRulePayload={"sql": sql, "actions": list(actions), "awsIotSqlVersion": "2016-03-23"},
        )

    def to_queue(self, url: str) -> dict[str, Any]:
        """A rule's action: send to the queue."""
        role = self.role(allow("sqs:SendMessage"))
        return {"sqs": {"queueUrl": url, "roleArn": role, "useBase64": False}}

    def device(self, policy: dict[str, Any] | None = None) -> Device:
        """Make a thing with a certificate and a policy; without one it may do everything."""
        iot, thing = self.client("iot"), self.name()
        iot.create_thing(thingName=thing)
        made = iot.create_keys_and_certificate(setAsActive=True)
        document = json.dumps(policy or allow("iot:*"))
        iot.create_policy(policyName=thing, policyDocument=document)
        iot.attach_policy(policyName=thing, target=made["certificateArn"])
        iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
        certificate, key = self.folder / f"{thing}.pem", self.folder / f"{thing}.key"
        certificate.write_text(made["certificatePem"])
        key.write_text(made["keyPair"]["PrivateKey"])
        return Device(thing, certificate, key)

    def tls(self, device: Device) -> ssl.SSLContext:
        """A context that trusts the emulator and shows the device's certificate."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(device.certificate, device.key)
        return context

    @contextmanager
    def connected(
        self, device: Device, client_id: str | None = None, *, clean: bool = True
    ) -> Iterator[Connection]:
        """A client that is connected as ``device``; unless ``clean``, with the session that it left."""
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or device.thing, clean_session=clean
        )
        connection = Connection(client)
        up = threading.Event()
        client.on_connect = lambda _, __, ___, reason, ____: None if reason.is_failure else up.set()
        client.on_disconnect = lambda *_: connection.disconnected.set()
        client.on_message = lambda _, __, message: connection.heard.append(
            (message.topic, bytes(message.payload))
        )
        client.tls_set_context(self.tls(device))
        client.connect("127.0.0.1", self.aws.mqtt_port, keepalive=30)
        client.loop_start()
        try:
            assert up.wait(5), "not connected"
            yield connection
        finally:
            client.disconnect()
            client.loop_stop()

    def subscribe(self, connection: Connection, topic: str) -> None:
        """Subscribe and wait for the broker's word."""
        done = threading.Event()
        connection.client.on_subscribe = lambda *_: done.set()
        connection.client.subscribe(topic, qos=1)
        assert done.wait(WAIT_S), f"not subscribed to {topic}"

    def publish(self, connection: Connection, topic: str, payload: bytes) -> None:
        """Publish at QoS 1 and wait until it is acknowledged."""
        connection.client.publish(topic, payload, qos=1).wait_for_publish(WAIT_S)
