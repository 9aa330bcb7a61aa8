"""Poison, in small: the whole of it is ``make fuzz``."""

import pytest

from tests.fuzz.__main__ import main
from tests.fuzz.device import TOPICS, Crash, Device


@pytest.mark.slow
def test_poison_crashes_nothing_and_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(2_400) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.splitlines()[-1].endswith(", crashes: 0")


def test_a_message_that_is_not_counted_is_found() -> None:
    device = Device()
    device.feed(TOPICS[0], b"nonsense")
    device._malformed += 1

    with pytest.raises(Crash, match="1 were counted as malformed, not 2"):
        device.end()
