"""The bench itself, small: that it measures work that was done, and leaves nothing behind."""

import pytest

from bench.lab import OWNERS, lab
from bench.lives import compare, remove_deaf
from bench.processes import memory
from bench.sides import BenchFailed, compose_program
from local.docker.images import BUSYBOX

pytestmark = pytest.mark.engine


def test_a_round_with_two_containers_gives_every_row_and_a_no_op_is_one_request(docker_host: str) -> None:
    try:
        compose_program()
    except BenchFailed as error:
        pytest.skip(str(error))

    with lab(docker_host, BUSYBOX.read_bytes()) as ready:
        rows = {row.id: row for row in compare(ready, count=2, rounds=1)}
        left = [
            ready.client.containers(all=True, filters={"label": f"{label}={ready.name}"}) for label in OWNERS
        ]

    assert rows.keys() == {"up-2", "noop-2", "change-1-of-2", "down-2"}
    assert rows["noop-2"].counts["requests"] == 1
    assert rows["down-2"].counts["requests"] >= 4
    assert left == [[], []]


def test_a_fleet_that_ignores_sigterm_takes_its_grace_and_not_the_sum_of_graces(docker_host: str) -> None:
    with lab(docker_host, BUSYBOX.read_bytes()) as ready:
        row = remove_deaf(ready, count=4, rounds=1, grace_s=3)

    assert 3_000 <= row.ours < 12_000


def test_hundreds_of_passes_leave_the_agents_memory_as_it_was_and_load_no_boto(docker_host: str) -> None:
    with lab(docker_host, BUSYBOX.read_bytes()) as ready:
        _, flat = memory(ready, count=2, rounds=1, passes=500)

    assert flat.counts == {"passes": 500, "boto_modules": 0}
    assert flat.ratio < 1.05
