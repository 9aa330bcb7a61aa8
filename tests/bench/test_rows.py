"""Rows of the bench, without measuring anything."""

import json

from bench.rows import Machine, Row, Target, judge, merged, table

MACHINE = Machine(2, 0.5, "20.10.24")
NOOP = Target("noop-20", "no-op pass", "docker compose", 0.1, counts={"requests": 1})


def a_row(**counts: int) -> Row:
    return judge(NOOP, [2.0, 90.0, 3.0], [100.0, 90.0, 1.0], counts, MACHINE)


def test_a_row_is_the_ratio_of_the_medians_so_one_bad_round_decides_nothing() -> None:
    row = a_row(requests=1)

    assert (row.ours, row.reference, row.ratio, row.rounds, row.ok) == (3.0, 90.0, 0.033, 3, True)


def test_a_fast_row_with_a_wrong_count_misses_its_target() -> None:
    assert not a_row(requests=2).ok
    assert not a_row().ok


def test_a_slow_row_misses_its_target_and_the_table_says_so() -> None:
    row = judge(NOOP, [20.0], [100.0], {"requests": 1}, MACHINE)

    assert not row.ok
    assert "noop-20" in table([row])
    assert "MISSED" in table([row])


def test_results_keep_the_rows_that_were_not_measured_this_time() -> None:
    older = merged("", [judge(Target("up-20", "up", "docker compose", 1.0), [1.0], [1.0], {}, MACHINE)])

    lines = json.loads(merged(merged(older, [a_row(requests=1)]), [a_row(requests=2)]))

    assert [(line["id"], line["ok"]) for line in lines] == [("up-20", True), ("noop-20", False)]
    assert lines[0]["machine"] == {"cores": 2, "load_1m": 0.5, "engine": "20.10.24"}
