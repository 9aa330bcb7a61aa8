from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.greengrass.nucleus.configuration.store import (
    DEFAULTS_AT_MS,
    Configuration,
    Json,
    KeyNotFound,
    OlderThanStored,
    UpdateRefused,
)
from local.greengrass.nucleus.dialect import CLASSIC, LITE, Dialect

both = pytest.mark.parametrize("dialect", [CLASSIC, LITE], ids=lambda dialect: dialect.name)
keys = st.text("ab", min_size=1, max_size=1)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.lists(st.integers()))
trees = st.recursive(scalars, lambda inner: st.dictionaries(keys, inner, max_size=2), max_leaves=6)
maps = st.dictionaries(keys, trees, max_size=2)


def a_store(dialect: Dialect = LITE, values: dict[str, Json] | None = None) -> Configuration:
    return Configuration.of(dialect, {"C": values if values is not None else {"a": 1, "m": {"x": 1, "y": 2}}})


@given(maps)
def test_what_is_merged_into_nothing_is_what_is_read(value: dict[str, Json]) -> None:
    store = Configuration(LITE)
    store.merge("C", (), value, at_ms=5)

    assert store.get("C") == value


@given(maps, maps)
def test_of_two_deployments_the_later_one_wins_in_whatever_order_they_come(
    old: dict[str, Json], new: dict[str, Json]
) -> None:
    in_order, reversed_ = Configuration(LITE), Configuration(LITE)
    try:
        in_order.merge("C", (), old, at_ms=1)
        in_order.merge("C", (), new, at_ms=2)
        reversed_.merge("C", (), new, at_ms=2)
        reversed_.merge("C", (), old, at_ms=1)
    except UpdateRefused:
        return

    assert in_order.get("C") == reversed_.get("C")


def test_a_newer_value_stays_whatever_a_recipe_or_an_older_deployment_says() -> None:
    store = a_store()
    store.merge("C", ("a",), 7, at_ms=100)

    store.merge("C", (), {"a": 0, "new": True}, at_ms=DEFAULTS_AT_MS)
    store.merge("C", (), {"a": 3}, at_ms=50)

    assert store.get("C") == {"a": 7, "m": {"x": 1, "y": 2}, "new": True}


@both
def test_a_refused_update_writes_nothing_of_it(dialect: Dialect) -> None:
    store = a_store(dialect)

    with pytest.raises(UpdateRefused):
        store.merge("C", (), {"a": 5, "m": "no map"}, at_ms=10)

    assert store.get("C") == {"a": 1, "m": {"x": 1, "y": 2}}


def test_a_deployment_may_replace_a_map_by_a_scalar() -> None:
    store = a_store(CLASSIC)

    store.merge("C", (), {"m": "no map"}, at_ms=10, conflicts="replace")

    assert store.get("C", ("m",)) == "no map"


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [(LITE, [("n", "x"), ("n", "y", "z")]), (CLASSIC, [("n",), ("n", "x"), ("n", "y"), ("n", "y", "z")])],
    ids=["lite", "classic"],
)
def test_lite_tells_of_leaves_and_classic_of_new_maps_too(
    dialect: Dialect, expected: list[tuple[str, ...]]
) -> None:
    store, told = a_store(dialect), []
    store.watch("C", (), lambda _, path: told.append(path))

    store.merge("C", (), {"n": {"y": {"z": 1}, "x": 1}}, at_ms=10)

    assert told == expected


def test_an_equal_value_of_another_json_type_is_a_change() -> None:
    store, told = a_store(), []
    store.watch("C", ("a",), lambda _, path: told.append(path))

    store.merge("C", ("a",), 1, at_ms=10)
    store.merge("C", ("a",), True, at_ms=11)

    assert told == [("a",)]


def test_a_watcher_that_stopped_hears_nothing_more() -> None:
    store, told = a_store(), []
    stop = store.watch("C", (), lambda _, path: told.append(path))
    stop()

    store.merge("C", ("a",), 2, at_ms=10)

    assert told == []


def test_a_reset_restores_the_default_with_an_event_in_classic() -> None:
    store, told = a_store(CLASSIC), []
    store.watch("C", (), lambda _, path: told.append(path))

    store.reset("C", ("a",), 5, known=True)

    assert store.get("C", ("a",)) == 5
    assert told == [("a",)]


def test_a_reset_only_deletes_and_is_silent_in_lite() -> None:
    store, told = a_store(LITE), []
    store.watch("C", (), lambda _, path: told.append(path))

    store.reset("C", ("a",), 5, known=True)

    with pytest.raises(KeyNotFound):
        store.get("C", ("a",))
    assert told == []


def test_classic_refuses_an_older_update_of_a_leaf_and_lite_says_yes_and_keeps_the_newer() -> None:
    classic, lite = a_store(CLASSIC), a_store(LITE)
    for store in (classic, lite):
        store.merge("C", ("a",), "newer", at_ms=100)

    with pytest.raises(OlderThanStored):
        classic.update("C", ("a",), "older", at_ms=99)
    lite.update("C", ("a",), "older", at_ms=99)

    assert lite.get("C", ("a",)) == "newer"


@given(maps)
def test_everything_survives_the_process(value: dict[str, Json]) -> None:
    store = Configuration(CLASSIC)
    store.merge("C", (), value, at_ms=50)
    again = Configuration(CLASSIC)
    again.restore(store.snapshot())
    again.merge("C", (), {"a": "older"}, at_ms=49, conflicts="keep")

    assert again.get("C") == ({"a": "older"} | value)


def test_the_file_holds_values_and_their_times(tmp_path: Path) -> None:
    path = tmp_path / "configuration.json"
    Configuration(LITE, path).merge("C", (), {"a": 1}, at_ms=50)

    again = Configuration(LITE, path)
    again.merge("C", ("a",), 2, at_ms=49)

    assert again.get("C", ("a",)) == 1


def test_a_rollback_tells_what_changed_back() -> None:
    store, told = a_store(), []
    before = store.snapshot()
    store.merge("C", (), {"a": 2, "b": 1}, at_ms=10)
    store.watch("C", (), lambda _, path: told.append(path))

    store.restore(before)

    assert store.get("C") == {"a": 1, "m": {"x": 1, "y": 2}}
    assert told == [("a",), ("b",)]
