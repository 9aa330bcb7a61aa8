"""The component's install step: a virtualenv with exactly the wheels that came with the artifact.

Run by the nucleus as ``python3 {artifact}/edge/packaging/install.py {work folder}``, at every start of the
nucleus and with no network: so it imports the standard library only, installs with the pip that came along,
does nothing when nothing changed (one look at a stamp), and remakes a virtualenv that was left half made.

Each set of wheels gets its own folder ``venvs/{stamp}``; the link ``venv`` is moved to it last. The
folder the link pointed to before is kept, because the old agent still runs from it while an update installs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = ((3, 11), (3, 12), (3, 13))
COMPLETE = ".complete"  # written last, after everything else is on the disk


def stamp(artifact: Path) -> str:
    """Return 16 hex digits that change with the requirements, a wheel, or the Python that runs them.

    A wheel counts with its name and size: the artifact's digest was checked when it was downloaded.
    """
    wheels = sorted(f"{wheel.name} {wheel.stat().st_size}" for wheel in (artifact / "wheels").glob("*.whl"))
    meaning = [
        (artifact / "requirements.txt").read_text(),
        *wheels,
        sys.version,
        os.path.realpath(sys.executable),
    ]
    return hashlib.sha256("\n".join(meaning).encode()).hexdigest()[:16]


def install(artifact: Path, work: Path) -> bool:
    """Make ``work/venv`` lead to a virtualenv with the artifact's wheels; return whether it had to be made.

    Raises:
        subprocess.CalledProcessError: the virtualenv could not be made; ``work/venv`` is as it was.
    """
    link, venvs = work / "venv", work / "venvs"
    target = venvs / stamp(artifact)
    previous = link.resolve() if link.is_symlink() else None
    if (target / COMPLETE).exists():
        if previous != target.resolve():
            _point(link, target)
        return False

    shutil.rmtree(target, ignore_errors=True)
    venvs.mkdir(parents=True, exist_ok=True)
    for other in venvs.iterdir():
        if other.resolve() != previous:
            shutil.rmtree(other, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(target)], check=True)
    [pip] = (artifact / "wheels").glob("pip-*.whl")
    subprocess.run(
        [
            *(target / "bin" / "python", pip / "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-cache-dir", "--no-index", "--find-links", artifact / "wheels"),
            *("--requirement", artifact / "requirements.txt"),
        ],
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))},
    )
    os.sync()  # a power cut now must not leave a complete-looking folder of empty files
    (target / COMPLETE).touch()
    _point(link, target)
    return True


def _point(link: Path, target: Path) -> None:
    fresh = link.with_name("venv.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target.relative_to(link.parent))
    fresh.replace(link)


def main(arguments: list[str]) -> int:
    """Install for the work folder given; the exit code is what the nucleus judges by."""
    if sys.version_info[:2] not in SUPPORTED:
        versions = ", ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"install: python3 is {found}; this artifact has wheels for {versions}", file=sys.stderr)
        return 1
    try:
        made = install(Path(__file__).resolve().parents[2], Path(arguments[0]).absolute())
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    print("install: made the virtualenv" if made else "install: nothing changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
