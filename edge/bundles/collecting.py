"""Collection of a log bundle for a command: gathered, packed, uploaded, and removed again."""

import contextlib
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from contract.commands import Bundle, CollectLogsCommand
from edge import agent_log
from edge.bundles.archive import Log, TooLarge, pack
from edge.bundles.tail import Tail
from edge.bundles.upload import UploadFailed, upload
from edge.containers.model.observed import Observed, device_name, pairs
from edge.engine.redaction import redact
from edge.host.disk_space import DiskSpace
from edge.ports.coded_error import CodedError
from edge.ports.engine import OUTPUT_LINE_LENGTH, Engine
from edge.ports.engine_errors import EngineError
from edge.version import AGENT_VERSION

FOLDER = "bundles"
#: Text of logs is packed to a tenth of its size and less; so much of it is gathered per byte of the bundle.
GATHERED = 8
NEEDED = 4  # times what is gathered may be on the disk at a moment, in the worst case
SECRET_MAX_BYTES = 64 * 1024  # of a file that is searched for; a larger one is no password

log = logging.getLogger(__name__)


class BundleFailed(CodedError):
    """There is no bundle in the storage, and why. The text never has the URL."""


class LogBundles:
    """Makes one bundle at a time, on the disk of ``folder``, the agent's. Belongs to one worker thread."""

    def __init__(
        self,
        *,
        engine: Engine,
        thing: str,
        folder: Path,
        secrets_folder: Path,
        disk: Callable[[Path], DiskSpace | None],
        put: Callable[[Path, str], None] = upload,
    ) -> None:
        self._engine, self._thing, self._folder = engine, thing, folder
        self._secrets_folder = secrets_folder / device_name(thing)
        self._disk, self._put = disk, put
        shutil.rmtree(folder / FOLDER, ignore_errors=True)  # what a kill left behind

    def bundle(self, command: CollectLogsCommand) -> Bundle:
        """Return what was uploaded.

        Raises:
            BundleFailed: application-unknown, bundle-too-large, state-unwritable, upload-failed.
        """
        assert command.upload is not None  # noqa: S101 - this is what it is called for
        try:
            with self._place(command.upload.max_bytes) as place:
                logs, facts = self._gather(command, place, command.upload.max_bytes)
                file = place / "bundle.tar.gz"
                share = GATHERED * command.upload.max_bytes // len(logs)
                is_cut = pack(file, facts, logs, share_bytes=share, max_bytes=command.upload.max_bytes)
                made = Bundle(bytes=file.stat().st_size, sha256=_sha256(file), truncated=is_cut)
                self._put(file, command.upload.url)
        except (TooLarge, UploadFailed) as error:
            raise BundleFailed(error.code, str(error)) from None
        except OSError as error:
            raise BundleFailed("state-unwritable", error.strerror or type(error).__name__) from None
        log.info("bundle of logs uploaded: id=%s bytes=%d truncated=%s", command.id, made.bytes, is_cut)
        return made

    @contextlib.contextmanager
    def _place(self, max_bytes: int) -> Iterator[Path]:
        """Yield an empty folder, gone afterwards; none where the disk is nearly full already."""
        space = self._disk(self._folder)
        needed = NEEDED * GATHERED * max_bytes
        if space is not None and space.free_bytes < needed:
            raise BundleFailed(
                "no-room", f"{needed >> 20} MiB may be needed, {space.free_bytes >> 20} are free"
            )
        (self._folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder / FOLDER) as place:
            yield Path(place)

    def _gather(
        self, command: CollectLogsCommand, place: Path, max_bytes: int
    ) -> tuple[list[Log], dict[str, object]]:
        secrets = list(self._secrets())
        facts: dict[str, object] = {
            "v": 1,
            "thing": self._thing,
            "command": command.id,
            "agent_version": AGENT_VERSION,
            "application": command.application,
        }
        containers: list[tuple[str, Observed]] = []
        try:
            information = self._engine.information()
            space = self._disk(Path(information.data_root))
            facts["engine"] = {**asdict(information), "disk": space and asdict(space)}
            containers = self._containers(command.application)
        except EngineError as error:  # then the agent's own log is all there is, and says since when
            facts["engine"] = {"code": error.code}
        tails = iter(range(len(containers) + 1))
        share = GATHERED * max_bytes // (len(containers) + 1)
        agents = Tail(place / str(next(tails)), share)
        agents.write(redact(agent_log.lines(self._folder), secrets, OUTPUT_LINE_LENGTH))
        logs = [Log(agent_log.FILE, agents)]
        for name, observed in containers:
            tail = Tail(place / str(next(tails)), share)
            logs.append(Log(f"applications/{name}.log", tail, self._read(observed, tail, secrets)))
        return logs, facts

    def _containers(self, application: str | None) -> list[tuple[str, Observed]]:
        found = pairs(self._engine.containers(self._thing), self._thing)
        if application is not None and application not in found:
            raise BundleFailed("application-unknown", "this device has no container of that name")
        return [
            (name + suffix, observed)
            for name, pair in sorted(found.items())
            if application in (None, name)
            for suffix, observed in (("", pair.current), (".previous", pair.previous))
            if observed is not None
        ]

    def _read(self, observed: Observed, tail: Tail, secrets: list[str]) -> str | None:
        """Keep the end of a container's output; return why not all that there is."""
        try:
            with self._engine.output(observed.id, secrets) as lines:
                tail.write(lines)
        except EngineError as error:
            log.warning("container's output cannot be read: code=%s", error.code)
            tail.path.touch()
            return error.code
        return None

    def _secrets(self) -> Iterator[str]:
        """Yield the secrets that applications were given as files; variables the engine knows."""
        for file in self._secrets_folder.glob("*/*"):
            with contextlib.suppress(OSError):
                if file.stat().st_size <= SECRET_MAX_BYTES:
                    yield file.read_text(encoding="utf-8", errors="replace")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
