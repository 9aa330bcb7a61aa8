"""Removal of folders that file systems may be mounted in."""

import shutil
import subprocess
from pathlib import Path


def remove_tree(folder: Path) -> None:
    """Unmount whatever is mounted below ``folder``, deepest first, and remove it."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    points = [line.split(" ")[1].replace("\\040", " ") for line in mounts]
    for point in sorted((p for p in points if p.startswith(f"{folder}/")), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
