"""Commands that nothing was heard of: sent again when their device is back, until heard of or too late."""

from datetime import datetime, timedelta

import pytest

from cloud.aws.errors import Unavailable
from contract.commands import CommandState, RebootCommand
from tests.support.cloud.api import NOW, FakeDevices, a_device, body_of
from tests.support.cloud.commanding import Api

State = CommandState
WAITS = {"reason": "stuck", "when_online": True}
DAY = 24 * 3600
KEY = {"Idempotency-Key": "k1"}
LOGS = "POST /devices/{device}/applications/{app}/logs"


def there() -> FakeDevices:
    return FakeDevices([a_device(stale_at=NOW + timedelta(days=30))])


def away(since: datetime = NOW - timedelta(hours=1)) -> FakeDevices:
    return FakeDevices([a_device(connected=False, connected_since=None, offline_since=since)])


@pytest.fixture
def api(api: Api) -> Api:
    """With a device that is away."""
    api.devices = away()
    return api


def sent(api: Api) -> list[bytes]:
    """What was sent since this was asked last."""
    payloads = [payload for _, payload in api.broker.published]
    api.broker.published.clear()
    return payloads


def test_an_offline_device_is_no_reason_to_refuse_what_waits_for_it(api: Api) -> None:
    answer = api.reboot(body=WAITS)

    body = body_of(answer)
    (warning,) = body["warnings"]
    assert (answer["statusCode"], body["when_online"]) == (202, True)
    assert warning == (
        "the device is offline since 2026-11-22T11:00:00Z: delivered when it comes back, "
        "until 2026-11-23T12:00:00Z"
    )
    (payload,) = sent(api)  # at once too: a classic nucleus has a session that keeps it
    assert RebootCommand.from_json(payload).expires_at == NOW + timedelta(days=1)


def test_nor_is_a_device_that_was_never_seen(api: Api) -> None:
    api.devices = FakeDevices([a_device(connected=None, last_report_at=None, stale_at=None)])
    answer = api.reboot(body=WAITS)
    assert answer["statusCode"] == 202
    assert "the device is unknown" in body_of(answer)["warnings"][0]


@pytest.mark.parametrize(("expires_in_s", "status"), [(60, 202), (7 * DAY, 202), (7 * DAY + 1, 400)])
def test_it_waits_as_long_as_it_is_told_a_week_at_most(api: Api, expires_in_s: int, status: int) -> None:
    answer = api.reboot(body=WAITS | {"expires_in_s": expires_in_s})
    assert answer["statusCode"] == status
    if status == 202:
        (payload,) = sent(api)
        assert RebootCommand.from_json(payload).expires_at == NOW + timedelta(seconds=expires_in_s)


def test_the_same_message_goes_out_whenever_the_device_connects_or_says_hello(api: Api) -> None:
    api.reboot(body=WAITS)
    (first,) = sent(api)
    api.clock.advance(3600)

    assert (api.is_back(), api.is_back()) == (1, 1)  # Lite subscribes between the two

    assert sent(api) == [first, first]


@pytest.mark.parametrize("lost", range(5))
def test_nothing_relies_on_a_session(api: Api, lost: int) -> None:
    """No broker keeps anything for a device here, and each message but one of the many is lost on its way."""

    def minute() -> None:
        api.clock.advance(61)
        api.sweep()

    connects, hello = api.is_back, api.is_back
    chances = [lambda: api.reboot(body=WAITS), connects, hello, minute, minute]
    for number, chance in enumerate(chances):
        chance()
        (payload,) = sent(api)
        if number == 0:
            api.clock.advance(3600)
            api.devices = there()
        if number == lost:  # the first that gets through
            api.says(RebootCommand.from_json(payload).id, State.DELIVERED)
            break

    assert api.is_back() == 0
    minute()
    assert sent(api) == []


@pytest.mark.parametrize("heard", [State.DELIVERED, State.IN_PROGRESS, State.SUCCEEDED, State.REJECTED])
def test_once_heard_of_it_is_not_sent_again(api: Api, heard: CommandState) -> None:
    command = body_of(api.reboot(body=WAITS))["id"]
    api.says(command, heard)
    sent(api)
    api.devices = there()

    for _ in range(3):
        assert api.is_back() == 0
        api.clock.advance(61)
        api.sweep()
    assert sent(api) == []


def test_what_nothing_is_heard_of_is_sent_again_whether_it_waits_or_not(api: Api) -> None:
    """As after a boot, where the device counts as online before its agent hears."""
    api.devices = there()
    command = body_of(api.reboot())["id"]
    (first,) = sent(api)

    assert api.is_back() == 1
    assert sent(api) == [first]
    api.clock.advance(61)
    api.sweep()
    assert sent(api) == [first]
    api.says(command, State.DELIVERED)
    assert api.is_back() == 0


def test_a_copy_that_the_broker_refuses_says_nothing_of_the_first(api: Api) -> None:
    api.devices = there()
    command = body_of(api.reboot())["id"]
    (first,) = sent(api)
    api.broker.broken = Unavailable("Publish: timeout")

    api.is_back()
    assert body_of(api.get(command))["state"] == "PENDING"

    api.broker.broken = None
    api.is_back()
    assert sent(api) == [first]


def test_what_holds_a_url_is_not_sent_again(api: Api) -> None:
    """Neither the sweep nor who hears the hello may sign one."""
    api.devices = FakeDevices([a_device(stale_at=NOW + timedelta(days=30), application_names=("web",))])
    command = body_of(api.order(LOGS))["id"]
    sent(api)
    for _ in range(3):
        assert api.is_back() == 0
        api.clock.advance(61)
        api.sweep()
    assert sent(api) == []
    assert body_of(api.get(command))["state"] == "PENDING"


def test_what_was_not_sent_and_then_was_is_sent_again_too(api: Api) -> None:
    api.devices = there()
    api.broker.broken = Unavailable("Publish: timeout")
    assert api.reboot(headers=KEY)["statusCode"] == 503
    assert api.is_back() == 0  # it failed, and so somebody was told

    api.broker.broken = None
    assert api.reboot(headers=KEY)["statusCode"] == 202
    (payload,) = sent(api)
    assert api.is_back() == 1
    assert sent(api) == [payload]


def test_while_the_device_is_there_and_silent_it_is_sent_every_minute_and_no_oftener(api: Api) -> None:
    api.devices = there()
    api.reboot(body=WAITS)
    (first,) = sent(api)

    for seconds, expected in ((59, 0), (1, 1), (1, 0), (58, 0), (1, 1), (1, 0)):
        api.clock.advance(seconds)
        assert api.sweep() == 0
        assert sent(api) == [first] * expected
    api.is_back()
    sent(api)
    api.clock.advance(59)
    api.sweep()
    assert sent(api) == []  # it went out less than a minute ago


def test_nobody_looks_at_it_while_the_device_is_away_and_it_still_comes(api: Api) -> None:
    api.reboot(body=WAITS)
    (first,) = sent(api)
    api.clock.advance(60)
    api.sweep()
    due = api.commands.waiting("robot-7")[0].due_at
    assert due == NOW + timedelta(days=1, minutes=5)  # when it will be called expired
    assert sent(api) == []

    api.clock.advance(7200)
    api.devices = there()
    api.is_back()
    assert sent(api) == [first]
    api.clock.advance(60)
    api.sweep()  # the hello's may be lost as well
    assert sent(api) == [first]


def test_after_its_time_it_is_not_sent_and_called_expired(api: Api) -> None:
    api.devices = there()
    command = body_of(api.reboot(body=WAITS | {"expires_in_s": 90}))["id"]
    sent(api)
    api.clock.advance(90)
    api.is_back()
    api.sweep()
    assert sent(api) == []
    assert body_of(api.get(command))["state"] == "PENDING"

    api.clock.advance(5 * 60)
    read = body_of(api.get(command))
    assert (read["state"], read["code"], read["inferred"]) == ("EXPIRED", "no-answer", True)
    assert api.sweep() == 1
    assert body_of(api.get(command)) == read
    assert api.is_back() == 0


def test_nothing_puts_off_when_it_is_called_expired(api: Api) -> None:
    api.devices = there()
    api.reboot(body=WAITS | {"expires_in_s": 90})
    api.clock.advance(90 + 5 * 60 - 1)
    api.sweep()
    api.is_back()
    api.clock.advance(1)
    assert api.sweep() == 1


def test_a_read_needs_no_sweep_to_see_that_it_expired(api: Api) -> None:
    command = body_of(api.reboot(body=WAITS))["id"]
    api.clock.advance(DAY + 5 * 60)
    assert body_of(api.get(command))["state"] == "EXPIRED"
    (line,) = body_of(api.page())["commands"]
    assert line["state"] == "EXPIRED"


def test_a_newer_reboot_takes_its_place(api: Api) -> None:
    older = body_of(api.reboot(body=WAITS))["id"]
    api.clock.advance(1)
    newer = body_of(api.reboot(body=WAITS))["id"]
    sent(api)

    assert api.is_back() == 1

    (payload,) = sent(api)
    assert RebootCommand.from_json(payload).id == newer
    assert body_of(api.get(older))["state"] == "SUPERSEDED"


def test_what_the_broker_does_not_take_waits_as_well(api: Api) -> None:
    api.devices = there()
    api.broker.broken = Unavailable("Publish: timeout")

    answer = api.reboot(body=WAITS)

    command = body_of(answer)["id"]
    assert answer["statusCode"] == 202
    assert body_of(api.get(command))["state"] == "PENDING"
    api.clock.advance(60)
    api.sweep()  # refused again
    api.broker.broken = None
    api.clock.advance(60)
    api.sweep()
    (payload,) = sent(api)
    assert RebootCommand.from_json(payload).id == command


def test_two_sweeps_side_by_side_send_it_once(api: Api) -> None:
    api.devices = there()
    api.reboot(body=WAITS)
    sent(api)
    api.clock.advance(60)
    seen = api.commands.waiting("robot-7")

    for command in seen * 2:  # both read it before either wrote
        api.look(command)

    assert len(sent(api)) == 1


def test_a_device_that_came_back_meanwhile_is_not_forgotten_by_a_sweep_that_saw_it_away(api: Api) -> None:
    api.reboot(body=WAITS)
    api.clock.advance(60)
    (seen,) = api.commands.waiting("robot-7")
    api.clock.advance(1)
    api.is_back()

    api.look(seen)  # it read the device before

    (command,) = api.commands.waiting("robot-7")
    assert command.due_at == api.clock.now + timedelta(seconds=60)


def test_one_that_is_delivered_late_replaces_what_was_inferred(api: Api) -> None:
    command = body_of(api.reboot(body=WAITS | {"expires_in_s": 60}))["id"]
    api.clock.advance(10 * 60)
    api.sweep()
    assert body_of(api.get(command))["state"] == "EXPIRED"

    api.says(command, State.IN_PROGRESS)
    body = body_of(api.get(command))
    assert (body["state"], body["inferred"]) == ("IN_PROGRESS", False)
    assert [(step["state"], step["by"]) for step in body["transitions"]] == [
        ("PENDING", "ada"), ("EXPIRED", "cloud"), ("IN_PROGRESS", "device"),
    ]  # fmt: skip
