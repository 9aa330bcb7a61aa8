"""One component's life: install, run, and what a nucleus does when it ends."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from local.core.dialect import Dialect
from local.core.process import ProcessGroup

log = logging.getLogger(__name__)

State = Literal["NEW", "INSTALLED", "RUNNING", "FINISHED", "ERRORED", "BROKEN", "STOPPING"]

_HOUR_S = 3600.0


class InstallFailed(Exception):
    """The install script ended with an error or not in time."""

    code = "COMPONENT_INSTALL_ERROR"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A script ready to run: variables replaced, environment complete but for the start's own token."""

    text: str
    environment: Mapping[str, str]
    timeout_s: float | None


class Launch(Protocol):
    """What the nucleus gives a component to start with."""

    name: str
    folder: Path
    log: Path
    record: Path

    def install(self) -> Rendered | None:
        """Return the install step, rendered with the configuration of now."""

    def run(self) -> Rendered | None:
        """Return the run step, rendered with the configuration of now."""

    def token(self, *, new: bool) -> Mapping[str, str]:
        """Return the environment that carries the component's token; a ``new`` one voids the one before."""


class Component:
    """One installed component version. Its own thread runs it; any thread may stop or kill it."""

    def __init__(
        self,
        launch: Launch,
        dialect: Dialect,
        changed: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._launch = launch
        self._dialect = dialect
        self._changed = changed
        self._monotonic = monotonic
        self._lock = threading.Condition()
        self._state: State = "NEW"
        self._ending = threading.Event()
        self._process: ProcessGroup | None = None
        self._thread: threading.Thread | None = None
        self._errors: deque[float] = deque()
        self.running: Rendered | None = None

    @property
    def state(self) -> State:
        """Return where it stands."""
        return self._state

    def install(self) -> None:
        """Run the install step, if there is one, on the calling thread.

        Raises:
            InstallFailed
        """
        step = self._launch.install()
        if step is not None:
            process = self._spawn(step, new_token=False)  # what runs meanwhile keeps its own
            code = process.wait(step.timeout_s)
            process.kill()
            self._process = None
            if code != 0:
                raise InstallFailed(f"{self._launch.name}: install {_ended(code)}")
        self._become("INSTALLED")

    def start(self, *, installed: bool) -> None:
        """Run it on its own thread; install first unless that was done."""
        self._ending.clear()
        self._thread = threading.Thread(
            target=self._live, args=(installed,), name=f"component-{self._launch.name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End it in order: SIGTERM, the dialect's grace, SIGKILL."""
        self._end(lambda process: process.stop(self._dialect.stop_grace_s))

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(lambda process: process.kill())

    def crash(self) -> None:
        """Kill its processes and leave the rest to the supervision."""
        process = self._process
        if process is not None:
            process.kill()

    def settle(self, quiet_s: float, timeout_s: float, given_up: threading.Event) -> State:
        """Wait until it has run for ``quiet_s``, has finished or is broken; return the state then."""
        deadline = self._monotonic() + timeout_s
        since: float | None = None
        with self._lock:
            while (now := self._monotonic()) < deadline and not given_up.is_set():
                if self._state in ("FINISHED", "BROKEN"):
                    break
                since = (since if since is not None else now) if self._state == "RUNNING" else None
                if since is not None and now - since >= quiet_s:
                    break
                self._lock.wait(0.05)
            return self._state

    def _live(self, installed: bool) -> None:
        while not self._ending.is_set():
            ended = self._install_and_run(installed)
            installed = True
            if self._ending.is_set():
                return
            if ended is None:
                self._become("FINISHED")
                return
            log.warning("component failed: component=%s how=%s", self._launch.name, ended)
            if self._over_budget():
                log.error("component is broken: component=%s", self._launch.name)
                self._become("BROKEN")
                return
            self._become("ERRORED")
            self._ending.wait(self._dialect.restart_delay_s)

    def _install_and_run(self, installed: bool) -> str | None:
        """Return how it failed; None when it ended well."""
        try:
            if not installed:
                self.install()
        except InstallFailed as error:
            return str(error)
        step = self.running = self._launch.run()
        if step is None:
            return None
        process = self._spawn(step, new_token=True)
        self._become("RUNNING")
        code = process.wait(step.timeout_s)
        process.kill()
        self._process = None
        return None if code == 0 else _ended(code)

    def _spawn(self, step: Rendered, *, new_token: bool) -> ProcessGroup:
        with self._lock:
            process = self._process = ProcessGroup.start(
                step.text,
                folder=self._launch.folder,
                environment={**step.environment, **self._launch.token(new=new_token)},
                log=self._launch.log,
                record=self._launch.record,
            )
        if self._ending.is_set():
            process.kill()
        return process

    def _over_budget(self) -> bool:
        now = self._monotonic()
        self._errors.append(now)
        while self._errors and now - self._errors[0] > _HOUR_S:
            self._errors.popleft()
        return len(self._errors) >= self._dialect.starts_per_hour

    def _end(self, how: Callable[[ProcessGroup], None]) -> None:
        self._ending.set()
        self._become("STOPPING")
        with self._lock:
            process = self._process
        if process is not None:
            how(process)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._become("NEW")

    def _become(self, state: State) -> None:
        with self._lock:
            if self._state == state:
                return
            self._state = state
            self._lock.notify_all()
        log.info("component: component=%s state=%s", self._launch.name, state)
        self._changed()


def _ended(code: int | None) -> str:
    return "ran out of time" if code is None else f"ended with {code}"
