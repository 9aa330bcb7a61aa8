"""``python -m edge`` killed with SIGKILL in the middle of a deployment: the next process finishes it."""

import pytest

from tests.support.edge.process import ANSWER_S
from tests.support.engine.sites import MOMENTS, Site

pytestmark = pytest.mark.slow

FEW = ("before the pull", "before the new one starts")  # a process each: enough for the fast tests


def test_killed_at_any_moment_of_an_update_the_next_process_finishes_it(site: Site) -> None:
    theirs = site.neighbour.create()
    site.neighbour.engine.start(theirs)
    process = site.device.start()
    site.deploy("server")
    assert site.ended().state == "RUNNING"

    for number, moment in enumerate(FEW if site.harness.simulated else MOMENTS):
        site.kill_at(moment)
        site.deploy(("healthy", "server")[number % 2])
        assert process.wait(ANSWER_S) == -9, moment
        process = site.device.start()

        status = site.ended()
        assert (status.state, status.code) == ("RUNNING", None), moment
        [ours] = site.engine.containers(site.harness.thing)
        assert ours.id.startswith(status.container_id or "?")

    assert site.device.end() == 0
    [left] = site.engine.containers(site.neighbour.thing)
    assert (left.id, left.state) == (theirs, "running")


@pytest.mark.engine  # of processes, one test is enough among the fast ones
def test_killed_while_a_bad_one_is_on_trial_the_next_process_brings_the_previous_back(site: Site) -> None:
    process = site.device.start()
    site.deploy("server")
    before = site.ended()
    site.kill_at("the new one started")
    site.deploy("unhealthy")
    assert process.wait(ANSWER_S) == -9

    site.device.start()
    after = site.ended()

    assert after.state == "ROLLED_BACK"
    assert after.container_id == before.container_id
    [left] = site.engine.containers(site.harness.thing)
    assert left.state == "running"
