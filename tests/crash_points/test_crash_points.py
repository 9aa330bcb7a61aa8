"""The agent killed at every engine call and every write of its memory comes to the same end."""

from itertools import chain
from pathlib import Path

import pytest

from tests.crash_points import reboots
from tests.crash_points.enumeration import once, reference, twice
from tests.crash_points.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

SECOND_DEATH = 3  # the next agent's act at which it dies too


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_any_moment_the_next_agent_comes_to_the_same_end(scenario: str, tmp_path: Path) -> None:
    found = list(
        chain(
            once(SCENARIOS[scenario], tmp_path / "once"),
            twice(SCENARIOS[scenario], tmp_path / "twice", [SECOND_DEATH]),
        )
    )

    assert found
    assert [str(each) for each in found if each.trouble] == []


def test_the_scenario_with_too_little_room_is_one_in_which_an_image_goes(tmp_path: Path) -> None:
    acts = reference(SCENARIOS["update of two, for which an old image must go"], tmp_path).acts

    assert acts.count("remove_image") == 1
    assert "write images.json" in acts


@pytest.mark.parametrize("scenario", reboots.SCENARIOS)
def test_killed_at_any_moment_of_a_reboot_it_happens_once_is_answered_and_all_runs_again(
    scenario: str, tmp_path: Path
) -> None:
    found = list(reboots.once(reboots.SCENARIOS[scenario], tmp_path))

    assert found
    assert [str(each) for each in found if each.trouble] == []


def test_a_whole_reboot_goes_from_the_disk_over_the_stops_to_the_proof(tmp_path: Path) -> None:
    acts = reboots.acts(reboots.SCENARIOS["reboot"], tmp_path)

    told = "publish cmd/fleetgrass/robot-7/reboot/res"
    assert acts[:2] == ["write commands.json", told]
    assert acts.count("stop") == 3
    assert acts.index("reboot") > acts.index("stop")
    assert told in acts[acts.index("reboot") :]
    assert acts.count("start") == 3
