"""Whose a component's folders are, and whom its scripts run as, where the core is root."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.greengrass.nucleus.test_installation import APP, Machine, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away"),
]
WHO = 'id -un > "{work:path}/NAME.new"; mv "{work:path}/NAME.new" "{work:path}/NAME"'


@pytest.fixture(params=["classic", "lite", "lite-main"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A device whose folders other users can reach, unlike pytest's own."""
    root = Path(tempfile.mkdtemp(prefix="core-"))
    root.chmod(0o755)
    made = Machine(root, request.param, component_user="nobody")
    yield made
    made.installation.cut()
    shutil.rmtree(root)


def owner(path: Path) -> str:
    return pwd.getpwuid(path.lstat().st_uid).pw_name


def deployed(machine: Machine, *, privileged: bool, posix_user: str | None = None) -> Path:
    """Deploy an app that says who it is; return its work folder."""
    step = {"RequiresPrivilege": privileged}
    machine.store.publish(
        APP,
        "1.0.0",
        {},
        install={**step, "Script": "id -un > installer"},
        run={**step, "Script": WHO.replace("NAME", "runner") + "; exec sleep 60"},
    )
    unzipped = machine.folder.unarchived(APP, "1.0.0") / "agent"
    unzipped.mkdir(parents=True)
    (unzipped / "code.py").touch()
    machine.deploy("1.0.0", posix_user=posix_user)
    work = machine.folder.work(APP)
    assert until((work / "runner").exists)
    return work


def test_a_privileged_script_runs_as_root_and_its_folder_is_the_default_users(machine: Machine) -> None:
    work = deployed(machine, privileged=True)

    assert [(work / name).read_text() for name in ("installer", "runner")] == ["root\n", "root\n"]
    assert (owner(work), work.stat().st_mode & 0o777) == ("nobody", 0o700)
    assert owner(work / "installer") == "nobody"


def test_any_other_script_runs_as_the_default_user(machine: Machine) -> None:
    work = deployed(machine, privileged=False)

    assert [(work / name).read_text() for name in ("installer", "runner")] == ["nobody\n", "nobody\n"]


def test_classic_gives_the_artifacts_away_before_each_script_but_not_the_folder_they_lie_in(
    machine: Machine,
) -> None:
    deployed(machine, privileged=True)

    code = machine.folder.unarchived(APP, "1.0.0") / "agent" / "code.py"
    given = "nobody" if machine.dialect == "classic" else "root"  # Lite gives what it downloads
    assert [owner(code), owner(code.parent), owner(code.parents[1])] == [given, given, "root"]


def test_run_with_root_keeps_the_folders_roots_in_classic_only_and_over_a_power_cycle(
    machine: Machine,
) -> None:
    work = deployed(machine, privileged=True, posix_user="root")
    classic = machine.dialect == "classic"
    assert owner(work) == ("root" if classic else "nobody")

    machine.installation.cut()
    (work / "runner").unlink()
    machine.power_on()

    assert until((work / "runner").exists)
    assert owner(work) == ("root" if classic else "nobody")
