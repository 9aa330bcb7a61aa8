"""The agent killed at every engine call and every write of its memory comes to the same end."""

from itertools import chain
from pathlib import Path

import pytest

from tests.crash_points.enumeration import once, twice
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
