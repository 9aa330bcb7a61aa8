"""However much is written, the last of it is there, in whole lines."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bundles.tail import Tail

pytestmark = pytest.mark.slow

LINES = st.lists(st.text(alphabet="abü", max_size=30), max_size=60)


@given(LINES, st.integers(1, 400), st.integers(1, 400))
def test_the_end_is_kept_in_whole_lines_and_what_is_missing_is_admitted(
    tmp_path_factory: object, lines: list[str], kept: int, asked: int
) -> None:
    folder = Path(tmp_path_factory.mktemp("tail"))  # type: ignore[attr-defined]
    tail = Tail(folder / "log", kept)

    tail.write(lines)
    file, left, is_cut = tail.open_last(asked)
    with file:
        content = file.read()

    assert len(content) == left <= asked
    text = content.decode()
    assert text == "".join(f"{line}\n" for line in lines[len(lines) - text.count("\n") :])
    assert is_cut or text.count("\n") == len(lines)
    longest = max((len(line.encode()) + 1 for line in lines), default=0)
    assert not is_cut or left > min(kept, asked) - longest
    assert (folder / "log").stat().st_size <= 2 * max(kept, longest)
