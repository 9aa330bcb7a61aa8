"""Fixtures of the deployment tests: all ports in memory, able to die at any call."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud.aws.account import Account
from cloud.aws.attributes import to_item
from cloud.domain.deployments.deployment import Deployment, DeploymentState
from cloud.domain.deployments.greengrass_components import NUCLEUS, Components
from cloud.functions.deployments.create_deployment import Ports, create_deployment
from cloud.functions.deployments.get_deployment import get_deployment
from cloud.services.deployment_submission import Submission
from cloud.tables.deployments import Deployments
from cloud.tables.rows.deployment_rows import sort_key
from contract.names import COMPONENT
from tests.support.cloud.answers import served
from tests.support.cloud.api import (
    ACCOUNT,
    DEPLOYMENTS,
    REGION,
    Clock,
    FakeDevices,
    a_device,
    an_event,
    with_tables,
)
from tests.support.cloud.fakes import FakeDocuments, FakeGreengrass, FakeGroups, FakeImages
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB

POST, GET = "POST /deployments", "GET /deployments/{deployment}"
WEB = {"name": "web", "image": "fleetgrass/hello:v1"}
V1, V2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64
TAGS = {("fleetgrass/hello", "v1"): V1, ("fleetgrass/hello", "v2"): V2}
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
ENROLLED: dict[str, Mapping[str, Any]] = {
    COMPONENT: {"componentVersion": "0.9.0", "configurationUpdate": {"merge": '{"heartbeat_s": 5}'}},
    NUCLEUS: {
        "componentVersion": "2.18.0",
        "configurationUpdate": {"merge": '{"deploymentConfigurationTimeSource": "deploymentProcessingTime"}'},
    },
}
#: As the release before enrolled a group.
ENROLLED_EARLIER: dict[str, Mapping[str, Any]] = ENROLLED | {
    NUCLEUS: {
        "componentVersion": "2.18.0",
        "configurationUpdate": {"merge": '{"interpolateComponentConfiguration": true}'},
    }
}


class Crash(BaseException):
    """The process dies here; nothing in it may catch this."""


class Gaps:
    """Counts the calls that leave the process, and dies at one of them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.die_at: tuple[int, bool] | None = None  # the call's number, and whether it takes effect

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        number, self.calls = len(self.calls), [*self.calls, name]
        if self.die_at == (number, False):
            raise Crash(f"before {name}")
        answer = call()
        if self.die_at == (number, True):
            raise Crash(f"after {name}")
        return answer


class Gapped:
    """Any port, with a gap before and after each of its calls."""

    def __init__(self, port: Any, gaps: Gaps, prefix: str) -> None:
        self._port, self._gaps, self._prefix = port, gaps, prefix

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)
        return lambda *args, **kwargs: self._gaps.around(
            f"{self._prefix}.{name}", lambda: call(*args, **kwargs)
        )


@dataclass
class DeploymentHarness:
    """A cloud in memory. ``gaps`` sit around every call of ``post`` and ``sweep``, never of the others.

    With ``table`` (DynamoDB's client) the deployments are in it, and its calls are the gaps.
    """

    table: Any = None
    enrolled: Components | None = field(default_factory=lambda: ENROLLED)
    clock: Clock = field(default_factory=Clock)
    images: FakeImages = field(default_factory=lambda: FakeImages(TAGS))
    documents: FakeDocuments = field(default_factory=FakeDocuments)
    groups: FakeGroups = field(default_factory=lambda: FakeGroups(("line-3", "empty")))
    gaps: Gaps = field(default_factory=Gaps)
    agent_version: str = "1.0.0"  # the stack's
    devices: FakeDevices = field(default_factory=lambda: FakeDevices([a_device("r-1"), a_device("r-2")]))

    def __post_init__(self) -> None:
        self.account = Account("aws", REGION, ACCOUNT)
        self.arn = self.account.iot_arn("thinggroup/line-3")
        self.greengrass = FakeGreengrass()
        if self.enrolled is not None:
            self.greengrass.revise(self.arn, self.enrolled)
        self.groups.add("r-1", "line-3")
        self.kept_in = with_tables(MemoryDynamoDB()) if self.table is None else self.table
        self.deployments = Deployments(self.kept_in, DEPLOYMENTS)

    def submission(self) -> Submission:
        return Submission(
            deployments=self._gapped_deployments(),
            greengrass=Gapped(self.greengrass, self.gaps, "greengrass"),
            devices=self.devices,
            groups=self.groups,
            account=self.account,
            agent_version=self.agent_version,
            stale_s=60,
            clock=self.clock,
        )

    def _gapped_deployments(self) -> Any:
        if self.table is None:
            return Gapped(self.deployments, self.gaps, "deployments")
        return Deployments(Gapped(self.table, self.gaps, "table"), DEPLOYMENTS)

    def post(self, body: object = None, **more: Any) -> dict[str, Any]:
        ports = Ports(
            account=self.account,
            images=self.images,
            documents=Gapped(self.documents, self.gaps, "documents"),
            groups=self.groups,
            devices=self.devices,
            submission=self.submission(),
            clock=self.clock,
        )
        entry = served(lambda request: create_deployment(request, ports), route=POST)
        body = a_wish() if body is None else body
        return entry(an_event(POST, body=body, **more), None)

    def get(self, deployment: str, **more: Any) -> dict[str, Any]:
        entry = served(
            lambda request: get_deployment(
                request, deployments=self.deployments, devices=self.devices, clock=self.clock
            ),
            route=GET,
        )
        return entry(an_event(GET, path={"deployment": deployment}, **more), None)

    def put_back(self, deployment: Deployment) -> None:
        """Have ``deployment`` be SUBMITTING, as if its process had died before it said how it went."""
        self.kept_in.update_item(
            TableName=DEPLOYMENTS,
            Key=to_item({"pk": deployment.target, "sk": sort_key(deployment.revision)}),
            UpdateExpression="SET #state = :state",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues=to_item({":state": DeploymentState.SUBMITTING.value}),
        )

    def sweep(self) -> int:
        return self.submission().finish_stale(self.clock.now)

    def states(self) -> list[tuple[int, str]]:
        """Revision and state of every deployment of line-3, oldest first."""
        return sorted((d.revision, d.state.value) for d in self.deployments.newest_first("thinggroup/line-3"))

    def in_force(self) -> dict[str, Any]:
        """The agent's configuration in the target's latest Greengrass deployment."""
        components = self.greengrass.deployments[self.arn][-1][1]
        configuration: dict[str, Any] = json.loads(components[COMPONENT]["configurationUpdate"]["merge"])
        return configuration

    def carried(self) -> list[str]:
        """The documents that Greengrass was ever pointed at, in order."""
        found = []
        for _, components in self.greengrass.deployments[self.arn]:
            merged = json.loads(components[COMPONENT]["configurationUpdate"]["merge"])
            if "desired" in merged:
                found.append(merged["desired"]["document_uri"])
        return found

    def reports(self, deployment: str, device: str, state: str, sequence: int = 1, **more: Any) -> bool:
        outcome = {"state": state, "epoch": "e1", "sequence": sequence, **more}
        return self.deployments.record_outcome(deployment, device, outcome, self.clock.now)


def a_wish(*applications: Mapping[str, Any], group: str = "line-3", **more: Any) -> dict[str, Any]:
    return {"target": {"group": group}, "applications": list(applications or (WEB,)), **more}
