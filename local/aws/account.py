"""The emulator as a process: start it, wait for it, stop it."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from local.process.children import ROOT, Child, DidNotStart

REGION = "eu-west-1"
ACCOUNT = "000000000000"
_READY_S = 30.0


@dataclass(frozen=True, slots=True)
class Key:
    """An AWS access key, with the session's token when it is temporary."""

    access_key_id: str
    secret_access_key: str

    def environment(self) -> dict[str, str]:
        """Return it as the variables that every AWS client reads."""
        return {"AWS_ACCESS_KEY_ID": self.access_key_id, "AWS_SECRET_ACCESS_KEY": self.secret_access_key}


#: The emulator's root key: it makes the users below and is given to nothing that runs afterwards.
ROOT_KEY = Key("test", "test")


class LocalAws:
    """A running emulator: ``endpoint_url`` for every service, MQTT over mutual TLS on ``mqtt_port``."""

    def __init__(self, folder: Path, *, port: int, mqtt_port: int, control_plane: str) -> None:
        """Start it and wait until it answers; its files and its log stay below ``folder``.

        Raises:
            DidNotStart: it is not installed, or not ready in time.
        """
        python = emulator_python()
        if not python.exists():
            raise DidNotStart(f"the emulator is not installed ({python} is missing): run `make setup`")
        scratch = folder / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self.mqtt_port = mqtt_port
        self.token_key = secrets.token_bytes(32)
        self.child = Child(
            "the emulator",
            [str(python), "-m", "local.aws.emulator.launcher"],
            log=folder / "logs" / "emulator.log",
            environment={
                "GATEWAY_PORT": str(port),
                "IOT_MTLS_PORT": str(mqtt_port),
                "MINISTACK_REGION": REGION,
                "TMPDIR": str(scratch),
                "GREENGRASS_CONTROL_PLANE": control_plane,
                "REGISTRY_TOKEN_KEY": self.token_key.hex(),
                "LAMBDA_WARM_TTL_SECONDS": "3600",
            },
        )
        try:
            self.child.wait_until(lambda: _ready(f"{self.endpoint_url}/_ministack/ready"), _READY_S)
        except DidNotStart:
            self.stop()
            raise

    def ca_certificate(self) -> bytes:
        """Return the certificate (PEM) that the MQTT listener's is signed with."""
        answer = requests.get(f"{self.endpoint_url}/_ministack/iot/ca.pem", timeout=10)
        answer.raise_for_status()
        return answer.content

    def stop(self) -> None:
        """Stop it and the Lambdas' processes. Idempotent."""
        self.child.stop()


def aws_environment(endpoint_url: str, key: Key) -> dict[str, str]:
    """Return the environment of an AWS client of the platform: endpoint, region and key."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    } | key.environment()


def emulator_python() -> Path:
    """Return the Python of the emulator's virtualenv; FLEETGRASS_EMULATOR_PYTHON names another."""
    named = os.environ.get("FLEETGRASS_EMULATOR_PYTHON")
    return Path(named) if named else ROOT / ".venv-ministack" / "bin" / "python"


def client_arguments(endpoint_url: str, key: Key) -> Mapping[str, str]:
    """Return what ``boto3.client`` takes besides the service's name."""
    return {
        "endpoint_url": endpoint_url,
        "region_name": REGION,
        "aws_access_key_id": key.access_key_id,
        "aws_secret_access_key": key.secret_access_key,
    }


def _ready(url: str) -> bool:
    try:
        answer = requests.get(url, timeout=5)
        return answer.ok and answer.json()["iot_mtls"] == "listening"
    except (requests.RequestException, KeyError):
        return False
