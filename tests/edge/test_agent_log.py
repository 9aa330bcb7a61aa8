"""The agent's own log outlives it, is bounded, and never gets in its way."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import agent_log


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    before = list(root.handlers)
    agent_log.keep_log(tmp_path, "%(levelname)s %(message)s")
    yield tmp_path
    for handler in [each for each in root.handlers if each not in before]:
        root.removeHandler(handler)
        handler.close()


def test_what_was_logged_is_there_after_a_restart_in_order(kept: Path) -> None:
    (kept / "agent.log.1").write_text("an older agent\n")
    (kept / "agent.log").write_text("the last one\n")

    logging.getLogger("edge").warning("this one")

    assert list(agent_log.lines(kept)) == ["an older agent", "the last one", "WARNING this one"]


def test_it_never_takes_more_than_two_files_of_their_size(kept: Path) -> None:
    for number in range(40):
        logging.getLogger("edge").warning("%d %s", number, "x" * 100_000)

    files = list(kept.iterdir())
    assert {each.name for each in files} == {"agent.log", "agent.log.1"}
    assert sum(each.stat().st_size for each in files) <= 2 * agent_log.MAX_BYTES
    assert list(agent_log.lines(kept))[-1].startswith("WARNING 39 ")


def test_a_folder_that_takes_no_file_is_no_failure(
    tmp_path: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (kept / "agent.log").mkdir()

    logging.getLogger("edge").warning("goes to the nucleus only")

    assert capsys.readouterr().err == ""
    assert list(agent_log.lines(kept)) == []
