"""How far a pull has come, told from the engine's events alone."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.engine.docker_api.progress import PullProgress


def an_event(layer: str, status: str, current: int = 0, total: int = 0) -> dict[str, Any]:
    detail = {"current": current, "total": total} if total else {}
    return {"status": status, "id": layer, "progressDetail": detail}


def heard(*events: dict[str, Any]) -> list[int]:
    progress = PullProgress()
    return [progress.hear(event) for event in events]


def test_fetching_is_one_half_and_unpacking_the_other() -> None:
    assert heard(
        an_event("a", "Pulling fs layer"),
        an_event("a", "Downloading", 50, 100),
        an_event("a", "Download complete"),
        an_event("a", "Extracting", 50, 100),
        an_event("a", "Pull complete"),
    ) == [0, 25, 50, 75, 100]


def test_a_large_layer_counts_for_more_than_a_small_one() -> None:
    *_, percent = heard(
        an_event("small", "Pulling fs layer"),
        an_event("large", "Pulling fs layer"),
        an_event("large", "Downloading", 1, 990),
        an_event("small", "Downloading", 1, 10),
        an_event("small", "Pull complete"),
    )

    assert percent == 1


def test_a_layer_that_is_there_already_does_not_count() -> None:
    *_, percent = heard(
        an_event("a", "Already exists"),
        an_event("b", "Pulling fs layer"),
        an_event("b", "Extracting", 50, 100),
    )

    assert percent == 75


def test_what_is_said_of_no_layer_changes_nothing() -> None:
    assert heard(
        {"status": "Pulling from fleetgrass/hello", "id": "v1"},
        {"status": "Digest: sha256:1234"},
        {"status": "Status: Downloaded newer image"},
    ) == [0, 0, 0]


@given(
    st.lists(
        st.builds(
            an_event,
            st.sampled_from("abc"),
            st.sampled_from(
                ["Pulling fs layer", "Downloading", "Verifying Checksum", "Extracting", "Pull complete"]
            ),
            st.integers(0, 2000),
            st.integers(0, 1000),
        )
    )
)
def test_it_never_goes_back_and_stays_a_percentage(events: list[dict[str, Any]]) -> None:
    percents = heard(*events)

    assert percents == sorted(percents)
    assert all(0 <= percent <= 100 for percent in percents)
