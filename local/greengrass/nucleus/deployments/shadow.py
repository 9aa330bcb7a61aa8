"""Deployments to this thing alone: no jobs, but the named shadow that classic listens to.

Follows ShadowDeploymentListener of the classic nucleus (2.18): one deployment waits at most, and the newest
wins. Lite has no listener.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.greengrass.nucleus.ipc.broker import Broker, BrokerUnavailable

log = logging.getLogger(__name__)

NAME = "AWSManagedGreengrassV2Deployment"


@dataclass(frozen=True, slots=True)
class ShadowDeployment:
    """The shadow's desired state: a document and the ARN that names it."""

    arn: str
    document: Mapping[str, Any]


class Shadow:
    """The device's side of the shadow's topics."""

    def __init__(self, broker: Broker, thing: str, nucleus_version: str, changed: Callable[[], None]) -> None:
        """Call ``changed``, which must return at once, whenever there may be something to ``take``."""
        self._broker = broker
        self._prefix = f"$aws/things/{thing}/shadow/name/{NAME}"
        self._nucleus_version = nucleus_version
        self._changed = changed
        self._lock = threading.Lock()
        self._subscribed = False
        self._version = 0
        self._last_arn: str | None = None
        self._waiting: ShadowDeployment | None = None
        self._status: dict[str, Any] | None = None

    def online(self) -> None:
        """Subscribe the first time, and ask what is wanted; call it whenever a connection stands."""
        if not self._subscribed:
            for topic, deliver in (
                ("update/accepted", self._heard),
                ("update/rejected", lambda _topic, _payload: self._ask()),
                ("get/accepted", self._heard),
            ):
                self._broker.subscribe(f"{self._prefix}/{topic}", 1, deliver)
            self._subscribed = True
        self._ask()

    def take(self) -> ShadowDeployment | None:
        """Return the newest that is wanted and was not taken yet."""
        with self._lock:
            deployment, self._waiting = self._waiting, None
            return deployment

    def tell(self, deployment: ShadowDeployment, status: str, details: Mapping[str, str]) -> None:
        """Report how a deployment stands; said again until the shadow has it."""
        with self._lock:
            self._status = {
                "arnForStatus": deployment.arn,
                "status": status,
                "statusDetails": {
                    "detailedStatus": details.get("detailed-deployment-status"),
                    "failureCause": details.get("deployment-failure-cause", ""),
                    "errorStack": json.loads(details.get("deployment-error-stack", "[]")),
                    "errorTypes": json.loads(details.get("deployment-error-types", "[]")),
                },
                "ggcVersion": self._nucleus_version,
            }
        self._report()

    def _report(self) -> None:
        with self._lock:
            body = {"state": {"reported": self._status}, "version": self._version}
        self._publish("update", body)

    def _ask(self) -> None:
        self._publish("get", {})

    def _heard(self, _topic: str, payload: bytes) -> None:
        try:
            shadow = json.loads(payload)
            state, version = shadow["state"], int(shadow["version"])
        except (ValueError, KeyError, TypeError):
            return
        desired, reported = state.get("desired"), state.get("reported") or {}
        with self._lock:
            if version < self._version:
                return
            self._version = version
            known = self._status
        if reported and known and any(reported.get(key) != known[key] for key in ("arnForStatus", "status")):
            self._report()
        if desired:
            self._want(desired, reported)

    def _want(self, desired: Mapping[str, Any], reported: Mapping[str, Any]) -> None:
        try:
            document = json.loads(desired["fleetConfig"])
            arn, status = str(document["configurationArn"]), desired["desiredStatus"]
        except (ValueError, KeyError, TypeError) as error:
            log.error("shadow not read: error=%s", error)
            return
        with self._lock:
            first, again = self._last_arn is None, self._last_arn == arn
            done = reported.get("arnForStatus") == arn and reported.get("status") != "IN_PROGRESS"
            self._last_arn = arn
            if status == "CANCELED":
                self._waiting = None
                return
            if again or (first and done):
                return
            self._waiting = ShadowDeployment(arn, document)
        log.info("shadow deployment: configuration=%s", arn)
        self._changed()

    def _publish(self, topic: str, body: Mapping[str, Any]) -> None:
        try:
            self._broker.publish(f"{self._prefix}/{topic}", json.dumps(body).encode(), 1)
        except BrokerUnavailable:
            log.info("shadow topic waits for the connection: topic=%s", topic)
