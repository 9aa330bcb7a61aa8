"""AWS IoT Jobs over MQTT: takes the next job, and reports its outcome once, whatever happens between.

The outcome of a finished job is kept until the cloud has taken it, so that a job done just before the
connection broke is not done again.
"""

import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from local.greengrass.nucleus.ipc.broker import Broker, BrokerUnavailable

log = logging.getLogger(__name__)

JobStatus = Literal["IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"]


@dataclass(frozen=True, slots=True)
class Job:
    """One execution of a job on this device."""

    job_id: str
    version: int
    document: Mapping[str, Any]


@dataclass(slots=True)
class _Outcome:
    status: JobStatus
    details: dict[str, str] = field(default_factory=dict)


class Jobs:
    """The device's side of the jobs topics."""

    def __init__(self, broker: Broker, thing: str, take: Callable[[Job], None]) -> None:
        """Hand each job to ``take``, which must return at once and call ``finish`` when it is done."""
        self._broker = broker
        self._prefix = f"$aws/things/{thing}/jobs"
        self._take = take
        self._lock = threading.Lock()
        self._current: Job | None = None
        self._outcomes: dict[str, _Outcome] = {}
        self._subscribed = False

    def online(self) -> None:
        """Subscribe the first time, and ask what there is to do; call it whenever a connection stands."""
        if not self._subscribed:
            self._subscribe()
            self._subscribed = True
        self._ask()

    def _subscribe(self) -> None:
        for topic, deliver in (
            ("notify-next", self._notified),
            ("start-next/accepted", self._offered),
            ("start-next/rejected", self._rejected),
            ("+/update/accepted", self._taken),
            ("+/update/rejected", self._not_taken),
        ):
            self._broker.subscribe(f"{self._prefix}/{topic}", 1, deliver)

    def _ask(self) -> None:
        """Ask for the next job, which may be the one in progress before a power cut."""
        self._publish("start-next", {"clientToken": uuid.uuid4().hex})

    def finish(self, job: Job, status: JobStatus, details: Mapping[str, str]) -> None:
        """Tell the outcome; said again until the cloud takes it."""
        with self._lock:
            self._outcomes[job.job_id] = _Outcome(status, dict(details))
            latest = self._current
        version = latest.version if latest is not None and latest.job_id == job.job_id else job.version
        self._tell(job.job_id, version)

    def _tell(self, job_id: str, version: int) -> None:
        outcome = self._outcomes[job_id]
        body = {
            "status": outcome.status,
            "statusDetails": outcome.details,
            "expectedVersion": str(version),
            "clientToken": uuid.uuid4().hex,
        }
        self._publish(f"{job_id}/update", body)

    def _notified(self, _topic: str, payload: bytes) -> None:
        if _read(payload).get("execution"):
            self._ask()

    def _offered(self, _topic: str, payload: bytes) -> None:
        execution = _read(payload).get("execution")
        if not isinstance(execution, dict) or "jobId" not in execution:
            return
        document = execution.get("jobDocument") or {}
        job = Job(str(execution["jobId"]), int(execution["versionNumber"]), document)
        with self._lock:
            known = job.job_id in self._outcomes
            running = self._current is not None and self._current.job_id == job.job_id
            if not known:
                self._current = job
        if known:
            self._tell(job.job_id, job.version)
        elif not running:
            log.info("job taken: job=%s version=%d", job.job_id, job.version)
            self._take(job)

    def _taken(self, topic: str, _payload: bytes) -> None:
        job_id = topic.removeprefix(self._prefix + "/").split("/")[0]
        with self._lock:
            done = self._outcomes.pop(job_id, None)
            if done is not None and self._current is not None and self._current.job_id == job_id:
                self._current = None
        if done is not None:
            log.info("job closed: job=%s status=%s", job_id, done.status)
            self._ask()

    def _not_taken(self, topic: str, payload: bytes) -> None:
        """A job that was cancelled or replaced meanwhile wants no outcome; whatever is next does."""
        code = _read(payload).get("code")
        log.warning("job outcome not taken: topic=%s code=%s", topic, code)
        if code != "VersionMismatch":
            self._taken(topic, payload)
        else:
            self._ask()

    def _rejected(self, _topic: str, payload: bytes) -> None:
        log.warning("no next job: code=%s", _read(payload).get("code"))

    def _publish(self, topic: str, body: Mapping[str, Any]) -> None:
        try:
            self._broker.publish(f"{self._prefix}/{topic}", json.dumps(body).encode(), 1)
        except BrokerUnavailable:
            log.info("job topic waits for the connection: topic=%s", topic)


def _read(payload: bytes) -> dict[str, Any]:
    try:
        body = json.loads(payload)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
