"""Image puller: makes room, gets a login for each pull, and a fresh one after a refusal."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.containers.execute.disk_guard import DiskGuard
from edge.containers.model.image_gc import Pulled
from edge.containers.model.image_references import (
    CredentialsUnavailable,
    RegistryCredentials,
    references,
    registry_host,
)
from edge.ports.engine import Engine, OnProgress
from edge.ports.engine_errors import DiskFull, EngineError, RegistryDenied

#: Returns how many bytes a pull of an image would fetch, 0 where it is unknown; raises EngineError or
#: CredentialsUnavailable where it is certain to fail here.
EstimatePullBytes = Callable[[str], int]

log = logging.getLogger(__name__)


def nothing_known(image: str) -> int:  # noqa: ARG001 - a Foresee
    """Estimate nothing: the size of a pull is unknown before it."""
    return 0


@dataclass(frozen=True, slots=True)
class Puller:
    """Gets images by digest, through a mirror where there is one. Any thread may ask."""

    engine: Engine
    credentials: RegistryCredentials
    mirrors: Mapping[str, str]
    room: DiskGuard
    estimate_pull_bytes: EstimatePullBytes

    def inspect(self, image: str) -> None:
        """Do what can be done before a pull without stopping anything; raises as ``fetch`` does."""
        if self._found(image) is None:
            self.room.make(self.estimate_pull_bytes(image))

    def fetch(self, image: str, on_progress: OnProgress) -> str:
        """Return the reference under which the engine has ``image`` by digest, pulling it where it must.

        What is there already needs no registry, no login and no room. A login that the registry refuses
        is replaced once, because tokens expire earlier than they say when a role changes; and a disk
        that runs full is tidied up once.

        Raises:
            EngineError: the engine's or the registry's answer, or DiskFull: there is no room.
            CredentialsUnavailable: no login can be had.
            StateUnwritable: the bookkeeping cannot be written.
        """
        found = self._found(image)
        if found is not None:
            return found
        pulled = Pulled(references(image, self.mirrors)[0], image)
        self.room.make(self.estimate_pull_bytes(image))
        self.room.begin(pulled)
        try:
            try:
                self._pull(pulled, on_progress)
            except DiskFull:
                if not self.room.collect():
                    raise
                log.info("the disk ran full in a pull, trying again after tidying up: image=%s", image)
                self._pull(pulled, on_progress)
        except (EngineError, CredentialsUnavailable):
            self.room.abandon(pulled)
            raise
        return pulled.reference

    def _found(self, image: str) -> str | None:
        """Return the name under which the engine has the image."""
        names = references(image, self.mirrors)
        return next((name for name in names if self.engine.has_image(name)), None)

    def _pull(self, pulled: Pulled, on_progress: OnProgress) -> None:
        def guarded(percent: int) -> None:
            on_progress(percent)
            self.room.watch()

        host = registry_host(pulled.image)
        try:
            self.engine.pull(pulled.reference, self.credentials.get(host), guarded)
        except RegistryDenied:
            log.info("registry refused the login, asking for a fresh one: registry=%s", host)
            self.engine.pull(pulled.reference, self.credentials.get(host, fresh=True), guarded)
