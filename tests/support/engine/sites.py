"""A real agent process between a nucleus, an engine, a registry and what it needs of AWS, all on loopback."""

import re
import secrets
from pathlib import Path

from docker import APIClient

from contract import topics
from contract.desired import Application, DesiredDocument
from contract.reports import ApplicationStatus, DeviceReport
from edge.engine.docker import DockerEngine
from local.docker.images import BUSYBOX
from local.greengrass.nucleus.dialect import CLASSIC
from tests.support.edge.process import DeviceProcess
from tests.support.engine.counting_proxy import CountingProxy
from tests.support.engine.harness import EngineHarness
from tests.support.engine.tiny_aws import TinyAws
from tests.support.engine.tiny_registry import TinyRegistry

HOST = "000000000000.dkr.ecr.eu-west-1.amazonaws.com"
#: What of an update is asked of the engine, in this order; the agent is killed before or after it happens.
MOMENTS = {
    "before the pull": (r"POST \S*/images/create", False),
    "the old one stopped": (r"POST \S*/stop", True),
    "the old one set aside": (r"POST \S*/rename", True),
    "the new one made": (r"POST \S*/containers/create", True),
    "before the new one starts": (r"POST \S*/start", False),
    "the new one started": (r"POST \S*/start", True),
    "before the old one is removed": (r"DELETE \S*/containers/", False),
}


class Site:
    """A device whose agent may be killed at a request to its engine, and a neighbour on the same engine."""

    def __init__(self, folder: Path, host: str, *, simulated: bool) -> None:
        self.host = host
        self.engine = DockerEngine({"DOCKER_HOST": host})
        # Its own images, so that no other test has pulled them already.
        self.registry = TinyRegistry(BUSYBOX.read_bytes(), secrets.token_hex(8))
        self.harness = EngineHarness(self.engine, self.registry.reference, simulated)
        self.neighbour = EngineHarness(self.engine, self.registry.reference, simulated)
        self.aws = TinyAws()
        self.proxy = CountingProxy(folder / "proxy.sock", host)
        self.device = DeviceProcess(
            folder,
            CLASSIC,
            thing=self.harness.thing,
            settings={
                "publish_address": "127.0.0.1",
                "healthy_poll_s": 0.1,
                "registry_mirrors": {HOST: self.registry.address},
            },
            environment={"DOCKER_HOST": self.proxy.host, **self.aws.environment},
        )
        self.revision = 0

    def close(self) -> None:
        self.device.kill()
        self.proxy.stop()
        self.aws.stop()
        self.harness.clear()
        self.neighbour.clear()
        self.engine.close()
        self.registry.stop()
        client = APIClient(base_url=self.host, version="auto")
        for image in client.images():
            if any(name.startswith(f"{self.registry.address}/") for name in image["RepoDigests"] or []):
                client.remove_image(image["Id"], force=True)
        client.close()

    def deploy(self, image: str) -> None:
        """Deploy one application, as a deployment's merge of the configuration does."""
        self.device.configure(desired={"document_uri": self.publish(image)})

    def publish(self, image: str) -> str:
        """Put the next revision, of one application, into the bucket; return its URI."""
        self.revision += 1
        application = Application(
            name="web",
            image=f"{HOST}/{self.registry.reference(image).partition('/')[2]}",
            healthy_window_s=3,
            stop_grace_s=1,
        )
        document = DesiredDocument(
            target="thinggroup/line-3",
            revision=self.revision,
            deployment_id=f"dep-{self.revision:026d}",
            applications=[application],
        )
        return self.aws.put(document)

    def kill_at(self, moment: str) -> None:
        """Let the engine's next request of ``moment`` be the agent's last."""
        pattern, happens = MOMENTS[moment]

        def before(request: str) -> bool:
            if re.match(pattern, request) is None:
                return True
            self.proxy.before = lambda _: True
            self.device.kill()
            return happens

        self.proxy.before = before

    def ended(self) -> ApplicationStatus:
        """Wait until the device has come to the end of the newest deployment; return what it says of it."""
        report = self.device.wait_for(
            topics.report(self.harness.thing),
            DeviceReport,
            lambda r: (
                r.desired is not None
                and r.desired.revision == self.revision
                and (r.desired.state == "CONVERGED" or r.desired.code == "application-failed")
            ),
        )
        [status] = report.applications
        return status
