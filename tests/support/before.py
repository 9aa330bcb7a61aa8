"""Versions before this one, as the repository's history has them."""

import subprocess
from pathlib import Path

import pytest

COMMIT = "e293047342af7e5ccd42efe1d416109a7e674e4b"  # agent 0.1.0
ROOT = Path(__file__).resolve().parents[2]


def unpack(folder: Path, *names: str, commit: str = COMMIT) -> Path:
    """Put files and folders of ``commit`` into ``folder``; skips the test in a clone without history."""
    packed = subprocess.run(["git", "archive", commit, *names], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"this clone has no history back to {commit}: {packed.stderr.decode().strip()}")
    subprocess.run(["tar", "-x"], cwd=folder, input=packed.stdout, check=True)
    return folder
