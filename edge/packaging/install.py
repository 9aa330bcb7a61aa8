"""The component's install step: a virtualenv with exactly this version's wheels, and a proof that it works.

Run by the nucleus as ``python3 -I {place}/versions/{sha256}/edge/packaging/install.py``, out of a folder that
the recipe's script has unpacked the checked artifact into, at every start of the nucleus and with no network:
so it runs on the standard library only, installs with the pip that came along, does nothing when nothing
changed (one look at a link), and remakes a virtualenv that was left half made.

``{place}`` belongs to the agent's user alone (``edge.storage.safe_folder``) and holds::

    versions/{sha256 of the artifact}/    code and wheels; ``venv`` is a link, moved last, to the virtualenv
                                          that this very code was proven with; ``.complete`` is written last
    venvs/{stamp}/                        a virtualenv per set of wheels and Python
    current                               a link to the version that was installed last
    state/                                the agent's files, its current folder

The version before is kept with its virtualenv, because the old agent still runs from it while an update
installs, and a rollback comes back to it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(VERSION))  # run as a file and isolated, its own folder is not on the path

from edge.storage import safe_folder  # noqa: E402

SUPPORTED = ((3, 11), (3, 12), (3, 13))
COMPLETE = ".complete"  # written last, after everything else is on the disk
PROOF_S = 180.0  # importing everything takes seconds; a slow card and a cold cache take longer


class InstallRefused(Exception):
    """This version will not be installed; the message says why, and the cure."""


def stamp(version: Path) -> str:
    """Return 16 hex digits that change with the requirements, a wheel, or the Python that runs them.

    A wheel counts with its name and size: the artifact's digest was checked when it was copied.
    """
    wheels = sorted(f"{wheel.name} {wheel.stat().st_size}" for wheel in (version / "wheels").glob("*.whl"))
    meaning = [
        (version / "requirements.txt").read_text(),
        *wheels,
        sys.version,
        os.path.realpath(sys.executable),
    ]
    return hashlib.sha256("\n".join(meaning).encode()).hexdigest()[:16]


def install(version: Path) -> bool:
    """Make ``version`` ready to run; return whether anything had to be done.

    Raises:
        InstallRefused: others may change the folder, or the code does not work here; what is current stays.
        subprocess.CalledProcessError: the virtualenv could not be made; the same.
    """
    place = version.parents[1]
    ready = (version / COMPLETE).exists()
    if found := safe_folder.unsafe(version):
        if not ready:
            raise InstallRefused(f"{found}: {CURE}")
        print(
            f"install: unsafe-folder: {found}: {CURE}", file=sys.stderr
        )  # said, and mended where it is ours
        safe_folder.mend_all(place, named_home=bool(os.environ.get("FLEETGRASS_HOME")))
    if not (place / "state").is_dir():
        (place / "state").mkdir(mode=0o700)
    venv = place / "venvs" / stamp(version)
    has_venv = (venv / COMPLETE).exists() and safe_folder.foreign(venv) is None
    if ready and has_venv and (version / "venv").resolve() == venv.resolve():
        if (place / "current").resolve() != version:
            _point(place / "current", version)
        return False

    try:
        if not has_venv:
            _make(venv, version)
        _prove(venv, version)
    except BaseException:
        # What this run made is of no use to anybody, and the next try would be made beside it.
        if not has_venv:
            shutil.rmtree(venv, ignore_errors=True)
        if not ready:
            shutil.rmtree(version, ignore_errors=True)
        raise
    _point(version / "venv", venv)
    os.sync()  # a power cut now must not leave a complete-looking folder of empty files
    (venv / COMPLETE).touch()
    (version / COMPLETE).touch()
    before = (place / "current").resolve()
    _point(place / "current", version)
    if before == version or not (before / COMPLETE).exists():
        before = _newest_other(version)
    _remove_all_but({version, before}, place)
    return True


CURE = "give it to the agent's user (chown, chmod go-w), or have FLEETGRASS_HOME name a safe folder"


def _make(venv: Path, version: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    venv.parent.mkdir(exist_ok=True)
    # In a work folder that is another user's, Python must not look for modules: -I, and no variable of it.
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", str(venv)], check=True)
    [pip] = (version / "wheels").glob("pip-*.whl")
    subprocess.run(
        [
            *(
                venv / "bin" / "python",
                "-I",
                pip / "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ),
            *("--no-cache-dir", "--no-index", "--find-links", version / "wheels"),
            *("--requirement", version / "requirements.txt"),
        ],
        check=True,
        env=_environment(),
    )


def _prove(venv: Path, version: Path) -> None:
    command = [str(venv / "bin" / "python"), "-I", str(version / "edge" / "packaging" / "proof.py")]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROOF_S, check=False, cwd="/", env=_environment()
        )
    except subprocess.TimeoutExpired:
        raise InstallRefused(f"the agent was not imported within {PROOF_S:g} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise InstallRefused(f"the agent does not work here: {last}")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}


def _point(link: Path, target: Path) -> None:
    fresh = link.with_name(f"{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.path.relpath(target, link.parent))
    fresh.replace(link)


def _newest_other(version: Path) -> Path:
    """Return the version to go back to where ``version`` itself was current; the same where there is none."""
    complete = {
        other.stat().st_mtime_ns: other.parent
        for other in version.parent.glob(f"*/{COMPLETE}")
        if other.parent != version
    }
    return complete[max(complete)] if complete else version


def _remove_all_but(versions: set[Path], place: Path) -> None:
    venvs = {(version / "venv").resolve() for version in versions}
    for folder, kept in ((place / "versions", versions), (place / "venvs", venvs)):
        for other in folder.iterdir():
            if other.resolve() not in kept:
                shutil.rmtree(other, ignore_errors=True)


def main() -> int:
    """Install the version that this file belongs to; the nucleus judges by the exit code."""
    if sys.version_info[:2] not in SUPPORTED:
        versions = ", ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"install: python3 is {found}; this artifact has wheels for {versions}", file=sys.stderr)
        return 1
    try:
        made = install(VERSION)
    except (InstallRefused, subprocess.CalledProcessError, OSError) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    print("install: made and proved this version" if made else "install: nothing changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
