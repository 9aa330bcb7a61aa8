"""A nucleus for one component's process: IPC, configuration, a broker in memory, and its work folder."""

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.lab import Lab
from bench.sides import ECR, BenchFailed, Fleet, document
from contract import topics
from contract.names import COMPONENT
from contract.reports import DeviceReport
from edge.desired.desired_document import FILE as DESIRED_FILE
from local.greengrass.nucleus.configuration.store import Configuration, Json
from local.greengrass.nucleus.dialect import CLASSIC
from local.greengrass.nucleus.ipc import Components, MemoryBroker, Server

_REPOSITORY = Path(__file__).parents[1]
_ANSWER_S = 60.0
_ACCESS: Json = {
    "aws.greengrass.ipc.mqttproxy": {
        "1": {
            "operations": ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"],
            "resources": ["*"],
        }
    }
}


class Nucleus:
    """Starts component processes that are to keep ``fleet`` on ``docker_host``; the thing is ``lab.name``."""

    def __init__(self, lab: Lab, folder: Path, fleet: Fleet, docker_host: str) -> None:
        self.thing, self.broker = lab.name, MemoryBroker()
        self._work, self._docker_host = folder / "work", docker_host
        self._work.mkdir(parents=True)
        # The agent finds its last good document on disk and need not fetch it.
        wanted = document(fleet).canonical()
        (self._work / DESIRED_FILE).write_bytes(wanted)
        configuration: Mapping[str, Json] = {
            "desired": {"document_uri": f"s3://bench/desired/{hashlib.sha256(wanted).hexdigest()}.json"},
            "publish_address": "127.0.0.1",
            "registry_mirrors": {ECR: lab.store.address},
            "accessControl": _ACCESS,
        }
        self._components = Components([COMPONENT])
        self.server = Server(
            folder / "ipc.socket",
            self._components,
            self.broker,
            Configuration.of(CLASSIC, {COMPONENT: configuration}),
            CLASSIC,
            thing=self.thing,
        )

    @contextlib.contextmanager
    def process(self, *module: str) -> Iterator["subprocess.Popen[str]"]:
        """Run ``python -m MODULE…`` as the component; it is killed in the end, if it has not ended."""
        started = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=self._work,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(_REPOSITORY),
                "AWS_IOT_THING_NAME": self.thing,
                "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self.server.socket_path),
                "SVCUID": self._components.issue_token(COMPONENT),
                "DOCKER_HOST": self._docker_host,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield started
        finally:
            started.kill()
            started.communicate()

    def wait_for_report(self, wanted: Callable[[DeviceReport], bool]) -> DeviceReport:
        """Return the first report like that."""
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            for message in list(self.broker.published):
                if message.topic == topics.report(self.thing):
                    report = DeviceReport.from_json(message.payload)
                    if wanted(report):
                        return report
            time.sleep(0.02)
        raise BenchFailed(f"the agent reported nothing like it within {_ANSWER_S:.0f} s")
