"""Lifecycle of a component: install, run, and what a nucleus does when it ends."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from local.greengrass.nucleus.components.process import ProcessTree, User
from local.greengrass.nucleus.dialect import Dialect

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
    user: User | None = None  # None: whoever the nucleus runs as


class Launch(Protocol):
    """Scripts, environment and token of a component's start."""

    name: str
    folder: Path
    log: Path
    record: Path

    def install(self) -> Rendered | None:
        """Return the install step, rendered with the configuration of now."""

    def run(self) -> Rendered | None:
        """Return the run step, rendered with the configuration of now."""

    def own(self) -> None:
        """Give the component's folders to whom they belong, as the nucleus does before each script."""

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
        self._process: ProcessTree | None = None
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
            process.end(spares_children=False)
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

    def stop(self, *, state: State = "NEW") -> None:
        """End it in order: SIGTERM, the dialect's grace, SIGKILL; ``state`` is where it stands then."""
        grace_s, each = self._dialect.stop_grace_s, self._dialect.grace_for_each_process
        self._end(lambda process: process.stop(grace_s, each=each), state)

    def leave(self) -> None:
        """Supervise it no more and leave its processes alone, as a nucleus does whose JVM dies."""
        self._ending.set()
        with self._lock:
            process = self._process
        if process is not None:
            process.leave()

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(lambda process: process.kill(), "NEW")

    def crash(self) -> None:
        """Kill its processes and leave the rest to the supervision."""
        process = self._process
        if process is not None:
            process.kill()

    def _live(self, installed: bool) -> None:
        while not self._ending.is_set():
            installed, ended = self._install_and_run(installed)
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

    def _install_and_run(self, installed: bool) -> tuple[bool, str | None]:
        """Return whether it is installed, and how it failed; None when it ended well."""
        try:
            if not installed:
                self.install()
        except InstallFailed as error:
            return False, str(error)
        step = self.running = self._launch.run()
        if step is None:
            return True, None
        process = self._spawn(step, new_token=True)
        self._become("RUNNING")
        code = process.wait(step.timeout_s)
        if not self._ending.is_set():  # else whoever ends it gives the rest of the tree its time, too
            process.end(spares_children=self._dialect.children_outlive_their_main)
        self._process = None
        return True, None if code == 0 else _ended(code)

    def _spawn(self, step: Rendered, *, new_token: bool) -> ProcessTree:
        self._launch.own()
        identity = self._launch.token(new=new_token)
        with self._lock:
            process = self._process = ProcessTree.start(
                step.text,
                folder=self._launch.folder,
                user=step.user,
                environment={**step.environment, **identity},
                log=self._launch.log,
                record=self._launch.record,
                token=identity.get("SVCUID", "") if new_token else "",
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

    def _end(self, how: Callable[[ProcessTree], None], state: State) -> None:
        self._ending.set()
        self._become("STOPPING")
        with self._lock:
            process = self._process
        if process is not None:
            how(process)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._become(state)

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
