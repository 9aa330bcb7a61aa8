"""Applications, documents and a reconciler with everything slow, random or timed in the test's hands."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from contract.desired import Application, DesiredDocument
from edge.containers.container_ports import ContainerPorts, ContainerSettings
from edge.containers.model.image_references import RegistryCredentials
from edge.containers.model.observed import current_name, previous_name
from edge.containers.pass_result import Pass
from edge.containers.reconciler import Reconciler
from edge.ports.engine import Credentials, Engine
from edge.ports.workers import Workers
from edge.storage.state import StateFolder
from tests.support.edge.fake_engine import FakeEngine, FakeImage

Result = TypeVar("Result")
THING = "line-3:robot-7"
HOST = "000000000000.dkr.ecr.eu-west-1.amazonaws.com"


class FakeClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.passed_s

    def now(self) -> datetime:
        return datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=self.passed_s)


class Inline:
    """Workers that do it at once, in the caller's thread; the process may die in them."""

    def __init__(self, name: str = "", bound: int = 1) -> None: ...

    def submit(self, call: Callable[[], Result], /) -> "Future[Result]":
        future: Future[Result] = Future()
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - the future's holder gets it
            future.set_exception(error)
        return future

    def close(self) -> None: ...


class Later:
    """Workers that do nothing until the test lets them; shared by all who ask for workers."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, name: str, bound: int) -> Workers:
        return self

    def submit(self, call: Callable[[], Result], /) -> "Future[Result]":
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001 - the future's holder gets it
                future.set_exception(error)

        self.waiting.append(run)
        return future

    def let_go(self) -> None:
        """Finish everything that waits."""
        while self.waiting:
            self.waiting.pop(0)()

    def close(self) -> None: ...


class FakeCredentials:
    """Logins that count: each fresh one has another password."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.error: Exception | None = None

    def get(self, registry_host: str, *, fresh: bool = False) -> Credentials:
        self.asked.append((registry_host, fresh))
        if self.error is not None:
            raise self.error
        return Credentials("AWS", f"token-{sum(fresh for _, fresh in self.asked)}")


def image(name: str) -> str:
    """Return the ECR name by digest of a fictional image."""
    return f"{HOST}/fleetgrass/{name.partition(':')[0]}@sha256:{name.encode().hex():0<64.64}"


def an_application(name: str = "web", image_name: str = "hello:v1", **fields: Any) -> Application:
    return Application(name=name, image=image(image_name), **fields)


def a_document(*applications: Application, revision: int = 1) -> DesiredDocument:
    return DesiredDocument(
        target="thinggroup/line-3",
        revision=revision,
        deployment_id=f"dep-{revision:026d}",
        applications=list(applications),
    )


def an_engine(**images: FakeImage) -> FakeEngine:
    """Return an engine whose registry has hello:v1 to hello:v3, and ``images`` as NAME:v1."""
    engine = FakeEngine()
    for tag in ("v1", "v2", "v3"):
        engine.registry[image(f"hello:{tag}")] = FakeImage()
    for name, what in images.items():
        engine.registry[image(f"{name}:v1")] = what
    return engine


class Device:
    """A reconciler over a folder and an engine that both outlive it."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        *,
        credentials: RegistryCredentials | None = None,
        workers: Callable[[str, int], Workers] = Inline,
        clock: FakeClock | None = None,
        **options: Any,
    ) -> None:
        self.engine, self.folder, self.workers, self.options = engine, folder, workers, options
        self.clock = clock or FakeClock()
        self.credentials = credentials or FakeCredentials()
        self.document: DesiredDocument | None = None
        self.reconciler = self._new()

    def start_again(self) -> None:
        """Replace the process, as a service manager does after a kill."""
        self.reconciler.close()
        self.reconciler = self._new()
        self.reconciler.desire(self.document)

    def desire(self, document: DesiredDocument | None) -> None:
        self.document = document
        self.reconciler.desire(document)

    def settle(self, within_s: float = 600.0) -> Pass:
        """Let passes follow each other, and time with them, until one says that it is settled."""
        end = self.clock.passed_s + within_s
        while True:
            result = self.reconciler.converge()
            if result.settled:
                return result
            if self.clock.passed_s >= end:
                raise AssertionError(f"not settled within {within_s} s: {result}")
            self.clock.passed_s += max(result.next_look_s or 0.0, 0.1)

    def deploy(self, *applications: Application, revision: int = 1) -> Pass:
        self.desire(a_document(*applications, revision=revision))
        return self.settle()

    def _new(self) -> Reconciler:
        ports: dict[str, Any] = {
            "engine": self.engine,
            "credentials": self.credentials,
            "clock": self.clock,
            "state": StateFolder(self.folder),
            "workers": self.workers,
            "jitter": lambda: 0.0,
        }
        settings: dict[str, Any] = {"thing": THING, "folder": self.folder, "publish_address": "127.0.0.1"}
        for name, value in self.options.items():
            (ports if name in ContainerPorts.__dataclass_fields__ else settings)[name] = value
        return Reconciler(ContainerPorts(**ports), ContainerSettings(**settings))


def current(application: str = "web") -> str:
    return current_name(THING, application)


def previous(application: str = "web") -> str:
    return previous_name(THING, application)
