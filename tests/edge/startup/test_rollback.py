"""A device that goes back to agent 0.1.0, and what that very version makes of what lies in its folder."""

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.commands import CommandResult, CommandState, RebootCommand
from edge.commands.rules.decide import CommandContext, Refuse, decide
from edge.commands.rules.ledger import Ledger
from edge.startup.earlier_state import DOCUMENT, LEDGER, LOST, forget_document, take_over
from edge.startup.own_folder import OwnState
from tests.support.before import unpack

pytestmark = pytest.mark.slow

FIRST, SECOND, ANOTHER = (f"cmd-{number:026d}" for number in (1, 2, 3))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: Reads the folder as that version does at a start, online, and judges a reboot once it knows the time.
OF_BEFORE = """
import json, sys
from datetime import datetime
from pathlib import Path
from contract.commands import RebootCommand
from edge.clock import SystemClock
from edge.commands.decide import Situation, decide
from edge.commands.ledger import Ledger
from edge.desired import Desired
from edge.state import StateFolder

folder, reboot, now, uri = sys.argv[1:]
now = datetime.fromisoformat(now)
ledger = Ledger.model_validate_json(Path(folder, "commands.json").read_bytes())
held = [command.id for command in ledger.held]
situation = Situation(now, "server", critical=False, reboot_budget=3)
decision = decide(RebootCommand.model_validate_json(reboot), ledger.told_the_time(now), situation)
desired = Desired(
    state=StateFolder(Path(folder)), clock=SystemClock(), fetch=lambda uri: None, spread=lambda s: s
)
desired.refer(uri)
document = desired.document
print(json.dumps([held, getattr(decision, "code", "start"), document and document.revision]))
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("before"), "contract", "edge")


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The work folder of a device on which a reboot waits for its time."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / LEDGER).write_text(Ledger(held=(a_reboot(),)).model_dump_json(exclude_none=True))
    (folder / DOCUMENT).write_bytes(a_document(1))
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def a_reboot(issued_at: datetime = NOW, **changed: object) -> RebootCommand:
    given = {
        "reason": "a test",
        "id": FIRST,
        "issued_at": issued_at,
        "expires_at": issued_at + timedelta(days=1),
    }
    return RebootCommand.model_validate({"requested_by": "a test", **given, **changed})


def a_document(revision: int) -> bytes:
    given = {
        "v": 1,
        "target": "thing/robot-1",
        "revision": revision,
        "deployment_id": f"dep-{1:026d}",
        "applications": [],
    }
    return json.dumps(given).encode()


def judged_by(before: Path, earlier: Path, command: RebootCommand, *, at: datetime) -> list[object]:
    """What that version waits for, makes of a command, and has in force before it fetched anything."""
    uri = f"s3://bucket/desired/{hashlib.sha256(a_document(2)).hexdigest()}.json"
    done = subprocess.run(
        [sys.executable, "-c", OF_BEFORE, str(earlier), command.model_dump_json(), at.isoformat(), uri],
        cwd=before,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(before)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_without_the_newer_version_it_would_reboot_and_go_by_its_own_document(
    before: Path, earlier: Path
) -> None:
    assert judged_by(before, earlier, a_reboot(), at=NOW) == [[FIRST], "start", 1]


def test_a_command_of_before_is_not_done_again(before: Path, earlier: Path, state: Path) -> None:
    take_over(earlier, state)

    later = NOW + timedelta(hours=1)
    assert judged_by(before, earlier, a_reboot(), at=later)[:2] == [[], "ledger-lost"]
    assert judged_by(before, earlier, a_reboot(later, id=SECOND), at=later)[1] == "start"


def test_commands_of_a_device_that_never_had_that_version_are_not_done_again_either(
    before: Path, state: Path, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    take_over(tmp_path / "new", state)

    found = judged_by(before, tmp_path / "new", a_reboot(), at=NOW + timedelta(hours=1))
    assert found == [[], "ledger-lost", None]


def test_a_document_that_is_in_force_still_is_gone_on_with(before: Path, earlier: Path, state: Path) -> None:
    take_over(earlier, state)
    OwnState(state, earlier).write(DOCUMENT, a_document(1))

    assert judged_by(before, earlier, a_reboot(), at=NOW)[2] == 1


def test_a_document_of_the_past_is_not_gone_back_to(before: Path, earlier: Path, state: Path) -> None:
    take_over(earlier, state)
    OwnState(state, earlier).write(DOCUMENT, a_document(2))

    assert judged_by(before, earlier, a_reboot(), at=NOW)[2] is None
    assert (state / DOCUMENT).read_bytes() == a_document(2)


def test_what_cannot_be_removed_is_at_the_next_start(earlier: Path, state: Path) -> None:
    take_over(earlier, state)
    (earlier / DOCUMENT).unlink()
    (earlier / DOCUMENT).mkdir()  # as a folder that nothing can be changed in
    OwnState(state, earlier).write(DOCUMENT, a_document(2))
    (earlier / DOCUMENT).rmdir()
    (earlier / DOCUMENT).write_bytes(a_document(2))

    take_over(earlier, state)

    assert (state / DOCUMENT).read_bytes() == (earlier / DOCUMENT).read_bytes() == a_document(2)


def test_what_it_took_and_judged_while_it_was_back_is_not_undone(earlier: Path, state: Path) -> None:
    """The way forward again: our own files are of the past then."""
    take_over(earlier, state)
    result = CommandResult(id=ANOTHER, state=CommandState.SUCCEEDED, clock="server", at=NOW)
    ours = Ledger().judged(a_reboot(id=ANOTHER), result)
    (state / LEDGER).write_text(ours.model_dump_json(exclude_none=True))
    (earlier / LEDGER).write_text('{"v":1,"trusted_from":"2026-03-01T12:00:00Z"}')
    (earlier / DOCUMENT).write_bytes(a_document(3))

    take_over(earlier, state)

    found = Ledger.model_validate_json((state / LEDGER).read_bytes()).told_the_time(NOW + timedelta(hours=1))
    situation = CommandContext(NOW + timedelta(hours=1), "server", critical=False, reboot_budget=3)
    decision = decide(a_reboot(), found, situation)
    assert isinstance(decision, Refuse)
    assert decision.code == "ledger-lost"
    assert found.entries == ours.entries
    assert not (state / DOCUMENT).exists()
    assert not (earlier / DOCUMENT).exists()
    assert (earlier / LEDGER).read_bytes() == LOST


def test_a_version_that_was_not_back_changes_nothing_at_a_start(earlier: Path, state: Path) -> None:
    take_over(earlier, state)
    OwnState(state, earlier).write(DOCUMENT, a_document(2))
    OwnState(state, earlier).write(LEDGER, b"of ours")
    times = {place: place.stat().st_mtime_ns for place in (*earlier.iterdir(), *state.iterdir())}

    assert take_over(earlier, state)

    assert times == {place: place.stat().st_mtime_ns for place in (*earlier.iterdir(), *state.iterdir())}


def test_no_link_of_whom_the_folder_belongs_to_is_written_through(
    earlier: Path, state: Path, tmp_path: Path
) -> None:
    another = tmp_path / "another"
    another.write_text("of another")
    (earlier / f"{LEDGER}.new").symlink_to(another)
    for name in (LEDGER, DOCUMENT):
        (earlier / name).unlink()
        (earlier / name).symlink_to(another)

    take_over(earlier, state)
    forget_document(earlier, b"")

    assert another.read_text() == "of another"
    assert [file.name for file in earlier.iterdir()] == [LEDGER]
    assert (earlier / LEDGER).read_bytes() == LOST
    assert not (earlier / LEDGER).is_symlink()
    assert (earlier / LEDGER).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_gone_or_a_link_is_no_failure(earlier: Path, state: Path, tmp_path: Path) -> None:
    take_over(earlier, state)
    earlier.rename(tmp_path / "elsewhere")
    OwnState(state, earlier).write(DOCUMENT, a_document(2))
    assert take_over(earlier, state)
    earlier.symlink_to(tmp_path / "elsewhere")

    OwnState(state, earlier).write(DOCUMENT, a_document(3))
    assert take_over(earlier, state)

    assert (tmp_path / "elsewhere" / DOCUMENT).read_bytes() == a_document(1)
