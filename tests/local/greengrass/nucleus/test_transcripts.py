"""Lite's main answers as the real one did in every recorded scenario; none is left out.

Released Lite differs in ``{iot:thingName}`` alone, which it leaves as it stands: it is played with the
thing's name in its place, but for the scenarios in which a client reads that text back.

What a replay does not prove: pauses (``idle_75_s`` is played without its 75 s), the real nucleus' back-off
after the broker's return, and deployments from outside, enacted as configuration merges.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from local.greengrass.nucleus.dialect import LITE, LITE_MAIN
from tests.support.nucleus.replay import THING, Replay

RECORDED = Path(__file__).parent / "transcripts" / "lite-2.6"
SCENARIOS = sorted(path.stem for path in RECORDED.glob("*.json"))
VARIABLE = "{iot:thingName}"


def recorded(scenario: str) -> dict[str, Any]:
    return dict(json.loads((RECORDED / f"{scenario}.json").read_text()))


ALIKE = [scenario for scenario in SCENARIOS if VARIABLE not in json.dumps(recorded(scenario)["frames"])]


def test_the_whole_recording_is_here() -> None:
    assert (len(SCENARIOS), len(ALIKE)) == (76, 73)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_stand_in_answers_as_the_recorded_nucleus(scenario: str, tmp_path: Path) -> None:
    Replay(recorded(scenario), tmp_path, LITE_MAIN).play()


@pytest.mark.parametrize("scenario", ALIKE)
def test_released_lite_answers_so_too_where_the_things_name_stands_in_the_recipe(
    scenario: str, tmp_path: Path
) -> None:
    played = recorded(scenario)
    played["given"] = json.loads(json.dumps(played["given"]).replace(VARIABLE, THING))

    Replay(played, tmp_path, LITE).play()
