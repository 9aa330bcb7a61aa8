"""``python -m edge`` killed with SIGKILL in the middle of a deployment: the next process finishes it."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import APIClient

from contract import topics
from contract.desired import Application, DesiredDocument
from contract.reports import ApplicationStatus, DeviceReport
from edge.engine.docker import DockerEngine
from local.core.dialect import CLASSIC
from local.images import BUSYBOX
from tests.edge.engine.counting_proxy import CountingProxy
from tests.edge.engine.tiny_aws import TinyAws
from tests.edge.engine.tiny_registry import TinyRegistry
from tests.edge.engine.worlds import World
from tests.edge.process import ANSWER_S, DeviceProcess

pytestmark = pytest.mark.slow

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
FEW = ("before the pull", "before the new one starts")  # a process each: enough for the fast tests


class Site:
    """A device whose agent may be killed at a request to its engine, and a neighbour on the same engine."""

    def __init__(self, folder: Path, host: str, *, simulated: bool) -> None:
        self.host = host
        self.engine = DockerEngine({"DOCKER_HOST": host})
        # Its own images, so that no other test has pulled them already.
        self.registry = TinyRegistry(BUSYBOX.read_bytes(), secrets.token_hex(8))
        self.world = World(self.engine, self.registry.reference, simulated)
        self.neighbour = World(self.engine, self.registry.reference, simulated)
        self.aws = TinyAws()
        self.proxy = CountingProxy(folder / "proxy.sock", host)
        self.device = DeviceProcess(
            folder,
            CLASSIC,
            thing=self.world.thing,
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
        self.world.clear()
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
        self.device.configure(desired={"document_uri": self.aws.put(document)})

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
            topics.report(self.world.thing),
            DeviceReport,
            lambda r: (
                r.desired is not None
                and r.desired.revision == self.revision
                and (r.desired.state == "CONVERGED" or r.desired.code == "application-failed")
            ),
        )
        [status] = report.applications
        return status


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.engine)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if not BUSYBOX.exists():
        pytest.skip("there is no busybox to make images of: install busybox-static")
    made = Site(
        tmp_path, request.getfixturevalue(f"{request.param}_host"), simulated=request.param == "memory"
    )
    with made.device.server:
        yield made
        made.close()


def test_killed_at_any_moment_of_an_update_the_next_process_finishes_it(site: Site) -> None:
    theirs = site.neighbour.create()
    site.neighbour.engine.start(theirs)
    process = site.device.start()
    site.deploy("server")
    assert site.ended().state == "RUNNING"

    for number, moment in enumerate(FEW if site.world.simulated else MOMENTS):
        site.kill_at(moment)
        site.deploy(("healthy", "server")[number % 2])
        assert process.wait(ANSWER_S) == -9, moment
        process = site.device.start()

        status = site.ended()
        assert (status.state, status.code) == ("RUNNING", None), moment
        [ours] = site.engine.containers(site.world.thing)
        assert ours.id.startswith(status.container_id or "?")

    assert site.device.end() == 0
    [left] = site.engine.containers(site.neighbour.thing)
    assert (left.id, left.state) == (theirs, "running")


@pytest.mark.engine  # of processes, one test is enough among the fast ones
def test_killed_while_a_bad_one_is_on_trial_the_next_process_brings_the_previous_back(site: Site) -> None:
    process = site.device.start()
    site.deploy("server")
    before = site.ended()
    site.kill_at("the new one started")
    site.deploy("unhealthy")
    assert process.wait(ANSWER_S) == -9

    site.device.start()
    after = site.ended()

    assert after.state == "ROLLED_BACK"
    assert after.container_id == before.container_id
    [left] = site.engine.containers(site.world.thing)
    assert left.state == "running"
