"""Reproducible zip files: their bytes depend on nothing but their content."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time a zip can tell


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` (name → content) to ``path``: sorted, without times or owners, same bytes every time.

    Wheels are stored as they are, since they are compressed already.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, whatever machine builds
            packed = zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compress_type=packed, compresslevel=9)
