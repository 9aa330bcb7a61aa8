"""Patch of the emulator: functions made of one zip share one folder with its contents.

Unpatched (ministack 1.5.33) every cold start unpacks the whole zip again, in the emulator's own process
and under its lock, and compiles every module again: on a small machine requests wait for half a minute.
As on AWS, code is not to be written to; its compiled modules are kept by the first that imports them.
"""

import hashlib
import os
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

from ministack.core import lambda_runtime

_lock = threading.Lock()


def mend_code_folders() -> None:
    """Make every worker's code folder a link to the unpacked zip."""
    lambda_runtime.zipfile = SimpleNamespace(
        ZipFile=_SharedZip, BadZipFile=zipfile.BadZipFile, LargeFileError=zipfile.LargeZipFile
    )


class _SharedZip(zipfile.ZipFile):
    def extractall(self, path: object = None, members: object = None, pwd: bytes | None = None) -> None:
        """Replace the empty folder ``path`` by a link to this zip's contents, unpacked once."""
        if self.filename is None or path is None or members is not None or pwd is not None:
            raise NotImplementedError("the emulator unpacks whole, plain zips from files")
        digest = hashlib.sha256(Path(self.filename).read_bytes()).hexdigest()
        shared = Path(tempfile.gettempdir()) / "lambda-code" / digest[:32]
        with _lock:
            if not shared.exists():
                unfinished = shared.with_suffix(".new")
                unfinished.mkdir(parents=True, exist_ok=True)
                super().extractall(unfinished)
                unfinished.rename(shared)
        os.rmdir(str(path))
        os.symlink(shared, str(path))
