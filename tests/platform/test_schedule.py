"""Last by name: its minute passes while the other tests run."""

import pytest

from tests.support.platform.lab import Lab

pytestmark = pytest.mark.platform


def test_a_schedule_invokes_its_function_every_minute(lab: Lab, every_minute: str) -> None:
    event, *_ = lab.receive(every_minute, within_s=70)

    assert event["source"] == "aws.events"
