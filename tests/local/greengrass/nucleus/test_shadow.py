import json
from typing import Any

from local.greengrass.nucleus.deployments.shadow import NAME, Shadow
from local.greengrass.nucleus.ipc.broker import MemoryBroker

PREFIX = f"$aws/things/robot-1/shadow/name/{NAME}"


class Cloud:
    """The thing's named shadow as far as the device sees it; ``news`` counts what it was woken for."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.news = 0
        self.version = 0
        self.shadow = Shadow(self.broker, "robot-1", "2.18.0", self._changed)
        self.shadow.online()

    def _changed(self) -> None:
        self.news += 1

    def want(
        self, arn: str, desired_status: str = "SUCCEEDED", *, topic: str = "update", **reported: Any
    ) -> None:
        self.version += 1
        desired = {"fleetConfig": json.dumps({"configurationArn": arn}), "desiredStatus": desired_status}
        state = {"desired": desired, **({"reported": reported} if reported else {})}
        self.broker.send(
            f"{PREFIX}/{topic}/accepted", json.dumps({"state": state, "version": self.version}).encode()
        )

    def said(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(p.payload) for p in self.broker.published if p.topic == f"{PREFIX}/{topic}"]


def test_whoever_comes_online_asks_what_is_wanted() -> None:
    cloud = Cloud()
    cloud.shadow.online()

    assert len(cloud.said("get")) == 2


def test_a_deployment_is_taken_once_and_the_newest_that_waits_wins() -> None:
    cloud = Cloud()
    cloud.want("a:1")
    cloud.want("a:2")
    cloud.want("a:2")

    taken = cloud.shadow.take()

    assert taken is not None
    assert taken.arn == "a:2"
    assert cloud.shadow.take() is None


def test_what_was_told_as_done_before_a_restart_is_not_done_again_and_what_was_not_is() -> None:
    done = Cloud()
    done.want("a:1", topic="get", arnForStatus="a:1", status="FAILED")
    assert done.shadow.take() is None

    begun = Cloud()
    begun.want("a:1", topic="get", arnForStatus="a:1", status="IN_PROGRESS")
    assert begun.shadow.take() is not None


def test_a_cancelled_deployment_that_waits_is_not_carried_out() -> None:
    cloud = Cloud()
    cloud.want("a:1")
    cloud.want("a:1", "CANCELED")

    assert cloud.shadow.take() is None


def test_the_end_is_told_and_told_again_where_the_shadow_says_otherwise() -> None:
    cloud = Cloud()
    cloud.want("a:1")
    wish = cloud.shadow.take()
    assert wish is not None

    cloud.shadow.tell(wish, "SUCCEEDED", {"detailed-deployment-status": "SUCCESSFUL"})
    cloud.want("a:1", arnForStatus="a:1", status="IN_PROGRESS")

    first, again = cloud.said("update")
    assert first["state"]["reported"]["status"] == again["state"]["reported"]["status"] == "SUCCEEDED"
    assert (first["version"], again["version"]) == (1, 2)
    assert first["state"]["reported"]["statusDetails"]["detailedStatus"] == "SUCCESSFUL"


def test_a_shadow_that_cannot_be_read_changes_nothing() -> None:
    cloud = Cloud()
    for payload in (b"\xff{", b"{}", b'{"state": {"desired": {"fleetConfig": "{"}}, "version": 1}'):
        cloud.broker.send(f"{PREFIX}/update/accepted", payload)

    assert cloud.shadow.take() is None
