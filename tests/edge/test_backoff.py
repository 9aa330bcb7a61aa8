from hypothesis import given
from hypothesis import strategies as st

from edge.backoff import backoff_s


def test_it_doubles_from_the_first_to_the_most() -> None:
    assert [backoff_s(failures, 1.0, 10.0) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]


@given(failures=st.integers(1, 10**9), first_s=st.floats(0.01, 60), longer=st.floats(1, 1000))
def test_however_often_it_failed_the_wait_is_within_its_bounds_and_never_shorter_than_before(
    failures: int, first_s: float, longer: float
) -> None:
    most_s = first_s * longer
    assert (
        first_s <= backoff_s(failures, first_s, most_s) <= backoff_s(failures + 1, first_s, most_s) <= most_s
    )
