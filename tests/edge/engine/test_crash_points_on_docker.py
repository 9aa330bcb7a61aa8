"""Crash points on a real engine: a few of those that :mod:`tests.crash_points` counts on the fake."""

from pathlib import Path

import pytest

from edge.engine.docker import DockerEngine
from tests.crash_points.on_docker import SCENARIOS, sampled
from tests.support.engine.tiny_registry import TinyRegistry

SAMPLES = 2  # of each scenario


@pytest.mark.engine
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_a_change_the_next_agent_comes_to_the_same_end(
    scenario: str, clean_docker_host: str, registry: TinyRegistry, tmp_path: Path
) -> None:
    engine = DockerEngine({"DOCKER_HOST": clean_docker_host})

    found = list(sampled(engine, registry, tmp_path, scenario, SAMPLES))

    engine.close()
    assert len(found) == SAMPLES
    assert [str(each) for each in found if each.trouble] == []
