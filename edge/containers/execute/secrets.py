"""Secret values of applications: kept in this process and a folder in memory, never on disk.

Fetched by a worker. A variable's value is given to the engine when the container is created. Files lie in a
folder per specification below one that only root enters; it is gone after a reboot, and filled again before
a start.
"""

import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Protocol

from contract.applications import Secret
from edge.background import Background
from edge.containers.model.errors import SecretsUnavailable
from edge.ports.workers import Workers

SECRETS_FOLDER = Path("/run/fleetgrass")  # systemd and most others keep /run in memory
FETCHES = 2  # at a time: each is a process with an AWS SDK in it
_IN_MEMORY = ("tmpfs", "ramfs")


class SecretSource(Protocol):
    """Where the values come from. Asked from worker threads."""

    def get(self, sources: Collection[str]) -> Mapping[str, bytes]:
        """Return every source's value; raises SecretsUnavailable."""


class _NoSecrets:
    def get(self, sources: Collection[str]) -> Mapping[str, bytes]:
        raise SecretsUnavailable("secrets-not-available", f"nowhere to get {min(sources)} from")


NO_SECRETS: SecretSource = _NoSecrets()


class Secrets:
    """The values that applications were given, by the digest of the specification that names them.

    Owned by the reconciler's thread; ``ended`` is called from workers.
    """

    def __init__(
        self,
        source: SecretSource,
        folder: Path,
        workers: Callable[[str, int], Workers],
        ended: Callable[[], None],
    ) -> None:
        self._source, self._folder = source, folder
        self._workers = workers("secrets", FETCHES)
        self._variables: dict[str, Mapping[str, str]] = {}
        self._fetches: Background[tuple[str, str], Mapping[str, str]] = Background(ended)

    @property
    def fetching(self) -> Set[str]:
        """The applications whose secrets are on their way."""
        return {application for application, _ in self._fetches.running}

    def has_all(self, spec: str, secrets: Sequence[Secret]) -> bool:
        """Whether a container can be created: its variables are known and its files in place."""
        needs_variables = any(secret.given_as == "env" for secret in secrets)
        return (spec in self._variables or not needs_variables) and self.has_files(spec, secrets)

    def has_files(self, spec: str, secrets: Sequence[Secret]) -> bool:
        """Whether a container can be started: its files are in place."""
        return all((self.folder(spec) / name).exists() for name in _files(secrets))

    def variables(self, spec: str) -> Mapping[str, str]:
        """Return the environment variables of a specification whose secrets were fetched."""
        return self._variables.get(spec, {})

    def secret_values(self, spec: str) -> Sequence[str]:
        """Return what the files of a specification say; no log line is to repeat it. Any thread may ask."""
        try:
            return [path.read_bytes().decode("utf-8", "replace") for path in self.folder(spec).iterdir()]
        except OSError:
            return []  # there are none, or they are just being replaced

    def folder(self, spec: str) -> Path:
        """Return the folder with a specification's files."""
        return self._folder / spec[:32]

    def fetch(self, application: str, spec: str, secrets: Sequence[Secret]) -> bool:
        """Begin to fetch, unless that is under way; return whether it has ended already."""
        if application in self.fetching:
            return False
        return self._fetches.start((application, spec), self._workers, lambda: self._fetch(spec, secrets))

    def finished(self) -> list[tuple[str, str, BaseException | None]]:
        """Return ``(application, specification, error)`` of every fetch that ended since the last call."""
        done = self._fetches.finished()
        for (_, spec), fetch in done:
            if fetch.exception() is None:
                self._variables[spec] = fetch.result()
        return [(name, spec, fetch.exception()) for (name, spec), fetch in done]

    def keep_only(self, specs: Collection[str]) -> None:
        """Forget the variables, and remove the files, of all other specifications."""
        self._variables = {spec: each for spec, each in self._variables.items() if spec in specs}
        kept = {self.folder(spec).name for spec in specs}
        if self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder.name not in kept:
                    shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Begin nothing more."""
        self._workers.close()

    def _fetch(self, spec: str, secrets: Sequence[Secret]) -> Mapping[str, str]:
        values = self._source.get({secret.source for secret in secrets})
        variables = {s.name: _text(s, values[s.source]) for s in secrets if s.given_as == "env"}
        files = {name: values[source] for name, source in _files(secrets).items()}
        if files:
            try:
                self._write(self.folder(spec), files)
            except OSError as error:
                raise SecretsUnavailable("secrets-unwritable", f"{self._folder}: {error.strerror}") from error
        return variables

    def _write(self, folder: Path, files: Mapping[str, bytes]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        if not is_in_memory(self._folder):
            raise SecretsUnavailable("secrets-folder-on-disk", f"{self._folder} is not in memory")
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # the application may run as any user; on the device only root gets this far
        for name, content in files.items():
            beside = folder / f".{name}"  # no secret's name begins with a dot
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o444)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            beside.chmod(0o444)
            beside.replace(folder / name)


def is_in_memory(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether ``path``, which exists, lies in a file system that a reboot empties."""
    real, best, kind = path.resolve(), -1, ""
    for line in mounts.read_text().splitlines():
        _, place, file_system = line.split(" ")[:3]
        place = place.replace("\\040", " ")
        if len(place) >= best and (real == Path(place) or Path(place) in real.parents):
            best, kind = len(place), file_system
    return kind in _IN_MEMORY


def _files(secrets: Sequence[Secret]) -> Mapping[str, str]:
    return {secret.name: secret.source for secret in secrets if secret.given_as == "file"}


def _text(secret: Secret, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SecretsUnavailable("secret-not-text", f"{secret.source} is no text: give it as a file")
    return text
