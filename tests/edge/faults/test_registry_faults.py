"""What a registry can do to a device with a real engine, and what the device makes of it."""

import pytest

from contract.reports import ApplicationState
from edge.ports.engine_errors import ImageNotFound, RegistryDenied, RegistryUnreachable
from local.docker.registry_proxy import Behaviour
from tests.edge.faults.clocks import JumpingClock
from tests.edge.faults.guarded_registry import LARGE_BYTES, MISSING, GuardedRegistry
from tests.support.engine.agents import Agent

pytestmark = pytest.mark.engine

HOUR_S = 3600.0


def test_a_registry_that_denies_is_asked_with_a_fresh_login_once_and_then_not_again(
    agent: Agent, registry: GuardedRegistry, clock: JumpingClock
) -> None:
    registry.front.behaviour = Behaviour(deny=True)

    [status] = agent.deploy(agent.application("v1")).statuses

    assert (status.state, status.code) == (ApplicationState.FAILED, RegistryDenied.code)
    assert registry.fresh_logins == 1
    refused = registry.front.counts.refused
    clock.ahead_s += HOUR_S
    agent.settle()
    assert registry.front.counts.refused == refused


def test_an_image_that_the_registry_does_not_have_leaves_what_runs_untouched(
    agent: Agent, registry: GuardedRegistry, clock: JumpingClock
) -> None:
    [before] = agent.deploy(agent.application("v1")).statuses

    [after] = agent.deploy(agent.application(MISSING)).statuses

    assert after.rollback is not None
    assert (after.rollback.code, after.container_id) == (ImageNotFound.code, before.container_id)
    asked = registry.front.counts.manifests
    clock.ahead_s += HOUR_S
    agent.settle()
    assert registry.front.counts.manifests == asked


def test_a_registry_that_is_down_is_tried_again_until_it_is_back(
    agent: Agent, registry: GuardedRegistry, clock: JumpingClock
) -> None:
    wanted = agent.application("v1")
    registry.go_down()

    agent.desire(wanted)
    [status] = agent.until(lambda found: found.statuses[0].code is not None).statuses

    assert (status.state, status.code) == (ApplicationState.PULLING, RegistryUnreachable.code)
    assert status.next_try_at is not None
    registry.come_back()
    clock.ahead_s += HOUR_S
    assert agent.settle().statuses[0].state is ApplicationState.RUNNING


def test_a_slow_pull_holds_up_nothing_else_and_ends_well(agent: Agent, registry: GuardedRegistry) -> None:
    web = agent.application("v1", "web")
    agent.deploy(web)
    registry.reference("large")
    registry.front.behaviour = Behaviour(bytes_per_s=LARGE_BYTES // 5)

    agent.desire(web, agent.application("v1", "second"), agent.application("large", "big"))
    found = agent.until(lambda found: found.statuses[1].state is ApplicationState.RUNNING)

    assert found.statuses[2].state is ApplicationState.PULLING
    assert agent.settle().statuses[2].state is ApplicationState.RUNNING


def test_a_connection_that_breaks_inside_a_layer_is_taken_up_again(
    agent: Agent, registry: GuardedRegistry
) -> None:
    wanted = agent.application("large")
    registry.front.behaviour = Behaviour(cut_after_bytes=LARGE_BYTES // 2)

    agent.desire(wanted)
    agent.until(lambda _: registry.front.counts.blobs > 1)
    registry.recover()

    assert agent.settle().statuses[0].state is ApplicationState.RUNNING


def test_an_expired_token_is_replaced_once(agent: Agent, registry: GuardedRegistry) -> None:
    agent.deploy(agent.application("v1"))
    registry.front.expire_tokens()

    [status] = agent.deploy(agent.application("v2")).statuses

    assert status.state is ApplicationState.RUNNING
    assert registry.fresh_logins == 1
