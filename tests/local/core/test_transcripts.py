"""The Lite dialect answers as the real nucleus did in every recorded scenario.

None is left out. What a replay does not prove: pauses (``idle_75_s`` is played without its 75 s), the real
nucleus' back-off after the broker's return, and deployments from outside, enacted as configuration merges.
"""

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
