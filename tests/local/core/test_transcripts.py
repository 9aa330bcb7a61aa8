"""The Lite dialect answers as the real nucleus did in every recorded scenario."""

import json
from pathlib import Path

import pytest

from tests.local.core.replay import Replay

RECORDED = Path(__file__).parent / "transcripts" / "lite-2.6"
SCENARIOS = sorted(path.stem for path in RECORDED.glob("*.json"))


def test_the_whole_recording_is_here() -> None:
    assert len(SCENARIOS) == 76


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_stand_in_answers_as_the_recorded_nucleus(scenario: str, tmp_path: Path) -> None:
    Replay(json.loads((RECORDED / f"{scenario}.json").read_text()), tmp_path).play()
