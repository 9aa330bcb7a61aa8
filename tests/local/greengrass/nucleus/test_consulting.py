"""The questions of the classic nucleus to its components, asked and answered through the official SDK."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from awsiot.greengrasscoreipc import model

from local.greengrass.nucleus.configuration.store import Json
from local.greengrass.nucleus.dialect import CLASSIC, LITE
from local.greengrass.nucleus.ipc.consultation import NotAnswered
from tests.local.greengrass.nucleus.test_ipc import ME, Nucleus

pytestmark = pytest.mark.slow

Found = TypeVar("Found")
PROPOSED: Json = {"place": {"line": "b"}}


@pytest.fixture
def nucleus(tmp_path: Path) -> Iterator[Nucleus]:
    running = Nucleus(CLASSIC, tmp_path)
    yield running
    running.stop()


class Asking(threading.Thread):
    """The deployment's thread, which waits for the components."""

    def __init__(self, ask: Callable[[threading.Event], object]) -> None:
        super().__init__(daemon=True)
        self.off = threading.Event()
        self._ask = ask
        self.found: object = None
        self.took_s = 0.0
        self.start()

    def run(self) -> None:
        began = time.monotonic()
        try:
            self.found = self._ask(self.off)
        except NotAnswered as error:
            self.found = error
        self.took_s = time.monotonic() - began

    def ended(self) -> object:
        self.join(10)
        assert not self.is_alive()
        return self.found


def validity(nucleus: Nucleus, others: Mapping[str, Json] | None = None, timeout_s: float = 10) -> Asking:
    ask = nucleus.components.consultation.refusals
    proposed: Mapping[str, Json] = {ME: PROPOSED, **(others or {})}
    return Asking(lambda off: ask("d-1", proposed, timeout_s, off))


def update(nucleus: Nucleus, timeout_s: float = 10) -> Asking:
    ask = nucleus.components.consultation.ask_to_update
    return Asking(lambda off: ask("d-1", timeout_s, off))


def report(status: str, message: str | None = None, deployment_id: str = "d-1") -> Any:
    return model.ConfigurationValidityReport(status=status, deployment_id=deployment_id, message=message)


@pytest.mark.parametrize(
    ("status", "message", "refusals"),
    [("ACCEPTED", None, {}), ("REJECTED", "line b is closed", {ME: "line b is closed"})],
)
def test_a_component_judges_the_configuration_that_is_proposed_for_it(
    nucleus: Nucleus, status: str, message: str | None, refusals: Mapping[str, str]
) -> None:
    events = nucleus.subscribed(nucleus.client.subscribe_to_validate_configuration_updates)
    asking = validity(nucleus)
    (event,) = events.of(1)
    proposal = event.validate_configuration_update_event
    assert (proposal.deployment_id, proposal.configuration) == ("d-1", PROPOSED)

    nucleus.client.send_configuration_validity_report(configuration_validity_report=report(status, message))

    assert asking.ended() == refusals


def test_a_component_that_does_not_judge_in_time_fails_the_deployment(nucleus: Nucleus) -> None:
    nucleus.subscribed(nucleus.client.subscribe_to_validate_configuration_updates)

    asking = validity(nucleus, timeout_s=0.3)

    assert isinstance(asking.ended(), NotAnswered)
    assert asking.took_s >= 0.3
    with pytest.raises(model.InvalidArgumentsError):
        nucleus.client.send_configuration_validity_report(
            configuration_validity_report=report("REJECTED", "late")
        )


def test_once_one_is_asked_a_component_that_never_subscribed_is_waited_for_in_vain(nucleus: Nucleus) -> None:
    events = nucleus.subscribed(nucleus.client.subscribe_to_validate_configuration_updates)
    asking = validity(nucleus, {"aws.greengrass.Nucleus": {"logging": {}}}, timeout_s=1)
    events.of(1)

    nucleus.client.send_configuration_validity_report(configuration_validity_report=report("ACCEPTED"))

    assert isinstance(asking.ended(), NotAnswered)
    assert asking.took_s >= 1


def test_nobody_waits_for_a_component_that_never_asked_to_be_asked(nucleus: Nucleus) -> None:
    assert validity(nucleus, {"aws.greengrass.Nucleus": {"logging": {}}}).ended() == {}
    update(nucleus).ended()


def test_a_component_that_ends_while_it_is_asked_fails_the_deployment_too(nucleus: Nucleus) -> None:
    client = nucleus.connect(nucleus.components.token_of(ME))
    events = nucleus.subscribed(client.subscribe_to_validate_configuration_updates)
    asking = validity(nucleus, timeout_s=1)
    events.of(1)

    client.close()

    assert isinstance(asking.ended(), NotAnswered)


def test_an_update_waits_as_long_as_a_component_asks_for_more_time(nucleus: Nucleus) -> None:
    events = nucleus.subscribed(nucleus.client.subscribe_to_component_updates)
    asking = update(nucleus)
    (first,) = events.of(1)
    assert (first.pre_update_event.deployment_id, first.pre_update_event.is_ggc_restarting) == ("d-1", False)

    nucleus.client.defer_component_update(deployment_id="d-1", message="busy", recheck_after_ms=200)
    assert len(events.of(2)) == 2
    nucleus.client.defer_component_update(deployment_id="d-1", recheck_after_ms=0)

    asking.ended()
    assert asking.took_s >= 0.2
    nucleus.components.consultation.updated("d-1")
    assert events.of(3)[2].post_update_event.deployment_id == "d-1"


def test_a_component_that_says_nothing_delays_an_update_by_the_policys_time_once(nucleus: Nucleus) -> None:
    events = nucleus.subscribed(nucleus.client.subscribe_to_component_updates)

    asking = update(nucleus, timeout_s=0.3)

    asking.ended()
    assert asking.took_s >= 0.3
    assert len(events.arrived) == 1


def test_power_off_ends_the_waiting(nucleus: Nucleus) -> None:
    events = nucleus.subscribed(nucleus.client.subscribe_to_component_updates)
    asking = update(nucleus)
    events.of(1)

    asking.off.set()

    asking.ended()


def test_an_answer_to_a_question_that_nobody_asked_is_an_error(nucleus: Nucleus) -> None:
    with pytest.raises(model.InvalidArgumentsError):
        nucleus.client.defer_component_update(deployment_id="d-1", recheck_after_ms=0)
    with pytest.raises(model.InvalidArgumentsError):
        nucleus.client.send_configuration_validity_report(configuration_validity_report=report("ACCEPTED"))


def test_lite_knows_none_of_these_operations_and_the_connection_lives_on(tmp_path: Path) -> None:
    nucleus = Nucleus(LITE, tmp_path)
    try:
        with pytest.raises(model.ServiceError):
            nucleus.subscribed(nucleus.client.subscribe_to_component_updates)
        with pytest.raises(model.ServiceError):
            nucleus.subscribed(nucleus.client.subscribe_to_validate_configuration_updates)
        with pytest.raises(model.ServiceError):
            nucleus.client.defer_component_update(deployment_id="d-1", recheck_after_ms=0)

        assert nucleus.client.get_configuration(key_path=["place"]).value == {"line": "a"}
    finally:
        nucleus.stop()
