import json
from typing import Any

from local.greengrass.nucleus.deployments.jobs import Job, Jobs
from local.greengrass.nucleus.ipc.broker import MemoryBroker

PREFIX = "$aws/things/robot-1/jobs"


class Cloud:
    """The jobs service as far as one device sees it, behind a broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.taken: list[Job] = []
        self.jobs = Jobs(self.broker, "robot-1", self.taken.append)

    def said(self, topic: str) -> list[dict[str, Any]]:
        """What the device published on one jobs topic."""
        return [json.loads(p.payload) for p in self.broker.published if p.topic == f"{PREFIX}/{topic}"]

    def send(self, topic: str, **body: Any) -> None:
        self.broker.send(f"{PREFIX}/{topic}", json.dumps(body).encode())

    def offer(self, job: str, version: int = 1) -> None:
        """Answer ``start-next``."""
        self.send(
            "start-next/accepted",
            execution={"jobId": job, "versionNumber": version, "jobDocument": {"n": job}},
        )


def test_it_asks_for_work_whenever_it_is_online_and_when_it_is_told_of_some() -> None:
    cloud = Cloud()
    cloud.jobs.online()
    cloud.send("notify-next", execution={"jobId": "j1"})
    cloud.send("notify-next")
    cloud.jobs.online()

    assert len(cloud.said("start-next")) == 3


def test_a_job_is_taken_once_however_often_it_is_offered() -> None:
    cloud = Cloud()
    cloud.jobs.online()
    cloud.offer("j1")
    cloud.offer("j1", version=2)

    assert [job.job_id for job in cloud.taken] == ["j1"]
    assert cloud.taken[0].document == {"n": "j1"}


def test_the_outcome_carries_the_version_that_was_seen_last() -> None:
    cloud = Cloud()
    cloud.jobs.online()
    cloud.offer("j1")
    cloud.offer("j1", version=2)
    cloud.jobs.finish(cloud.taken[0], "SUCCEEDED", {"detailed-deployment-status": "SUCCESSFUL"})

    (told,) = cloud.said("j1/update")
    assert (told["status"], told["expectedVersion"]) == ("SUCCEEDED", "2")
    assert told["statusDetails"] == {"detailed-deployment-status": "SUCCESSFUL"}


def test_a_job_that_ended_while_the_broker_was_away_is_reported_and_not_done_again() -> None:
    cloud = Cloud()
    cloud.jobs.online()
    cloud.offer("j1")
    cloud.broker.running = False
    cloud.jobs.finish(cloud.taken[0], "FAILED", {})
    cloud.broker.running = True

    cloud.jobs.online()
    cloud.offer("j1", version=3)

    assert len(cloud.taken) == 1
    assert [told["expectedVersion"] for told in cloud.said("j1/update")] == ["3"]


def test_after_an_outcome_was_taken_the_next_job_is_asked_for() -> None:
    cloud = Cloud()
    cloud.jobs.online()
    cloud.offer("j1")
    cloud.jobs.finish(cloud.taken[0], "SUCCEEDED", {})
    before = len(cloud.said("start-next"))
    cloud.send("j1/update/accepted")

    assert len(cloud.said("start-next")) == before + 1
    cloud.offer("j2")
    assert [job.job_id for job in cloud.taken] == ["j1", "j2"]


def test_a_job_that_was_cancelled_meanwhile_does_not_stop_the_next() -> None:
    cloud = Cloud()
    cloud.jobs.online()
    cloud.offer("j1")
    cloud.jobs.finish(cloud.taken[0], "SUCCEEDED", {})
    cloud.send("j1/update/rejected", code="InvalidStateTransition")
    cloud.offer("j2")

    assert [job.job_id for job in cloud.taken] == ["j1", "j2"]


def test_what_is_not_json_changes_nothing() -> None:
    cloud = Cloud()
    cloud.jobs.online()
    for topic in ("notify-next", "start-next/accepted", "start-next/rejected"):
        cloud.broker.send(f"{PREFIX}/{topic}", b"\xff{")

    assert cloud.taken == []
