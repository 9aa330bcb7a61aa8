"""What we mend in the emulator's broker and rules, and what the template needs of them."""

import base64
import contextlib
import json
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.support.platform.lab import Device, Lab, allow, until

pytestmark = pytest.mark.platform

EVERYTHING = (
    "SELECT encode(*, 'base64') AS payload, topic() AS topic, clientid() AS client, "
    "timestamp() AS received_at"
)
TIME = "SELECT nonce, timestamp() AS server_time_ms, 1 AS v"


def connect_packet(client_id: str, keep_alive_s: int, will_topic: str) -> bytes:
    """An MQTT 3.1.1 CONNECT with a will and a clean session."""

    def text(value: str) -> bytes:
        return len(value).to_bytes(2, "big") + value.encode()

    body = text("MQTT") + bytes([4, 0b00000110]) + keep_alive_s.to_bytes(2, "big")
    body += text(client_id) + text(will_topic) + text('{"will": true}')
    return bytes([0x10, len(body)]) + body


def test_the_mqtt_listener_is_on_loopback_only(lab: Lab) -> None:
    table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
    listening = [line.split()[1] for line in table if line.split()[3] == "0A"]

    of_ours = [address for address in listening if int(address.split(":")[1], 16) == lab.aws.mqtt_port]

    assert of_ours == [f"0100007F:{lab.aws.mqtt_port:04X}"]


def first_answer(context: ssl.SSLContext, port: int) -> bytes:
    """What the broker answers to a CONNECT; nothing when it ends the connection."""
    with (
        contextlib.suppress(ssl.SSLError, ConnectionError),  # how TLS 1.3 tells it depends on who is faster
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(connect_packet("nobody", 30, "will/nobody"))
        return secured.recv(1)
    return b""


def test_a_client_without_a_certificate_is_not_let_in(lab: Lab) -> None:
    assert first_answer(ssl.create_default_context(cafile=str(lab.ca)), lab.aws.mqtt_port) == b""
    assert first_answer(lab.tls(lab.device()), lab.aws.mqtt_port) != b""


def test_a_client_that_falls_silent_is_disconnected_with_its_will_and_the_reason(lab: Lab) -> None:
    silent, witness = lab.device(), lab.device()
    with lab.connected(witness) as connection:
        lab.subscribe(connection, "#")
        lab.subscribe(connection, f"$aws/events/presence/disconnected/{silent.thing}")
        with socket.create_connection(("127.0.0.1", lab.aws.mqtt_port)) as raw:
            secured = lab.tls(silent).wrap_socket(raw, server_hostname="127.0.0.1")
            secured.sendall(connect_packet(silent.thing, 1, f"will/{silent.thing}"))
            since = time.monotonic()

            event = connection.hears(f"$aws/events/presence/disconnected/{silent.thing}")

            assert 1.4 < time.monotonic() - since < 4
            assert (event["disconnectReason"], event["clientInitiatedDisconnect"]) == (
                "MQTT_KEEP_ALIVE_TIMEOUT",
                False,
            )
            assert connection.hears(f"will/{silent.thing}") == {"will": True}
            secured.close()


def test_a_client_that_pings_stays_connected(lab: Lab) -> None:
    device = lab.device()
    with (
        socket.create_connection(("127.0.0.1", lab.aws.mqtt_port)) as raw,
        lab.tls(device).wrap_socket(raw, server_hostname="127.0.0.1") as secured,
    ):
        secured.settimeout(5)
        secured.sendall(connect_packet(device.thing, 1, "will"))
        assert secured.recv(4)[0] == 0x20
        for _ in range(5):
            time.sleep(0.6)
            secured.sendall(b"\xc0\x00")
            assert secured.recv(2) == b"\xd0\x00"


def test_whoever_resumes_a_session_and_subscribes_anew_gets_each_message_once(lab: Lab) -> None:
    device, sender = lab.device(), lab.device()
    topic = f"cmd/{device.thing}/reboot/req"
    with lab.connected(sender) as sends:
        with lab.connected(device, clean=False) as connection:
            lab.subscribe(connection, topic)
        lab.publish(sends, topic, b"while it was away")

        with lab.connected(device, clean=False) as connection:
            lab.subscribe(connection, topic)
            lab.publish(sends, topic, b"one")
            lab.publish(sends, topic, b"two")

            assert until(lambda: (topic, b"two") in connection.heard)
            said = [payload for _, payload in connection.heard]

    assert said == [b"while it was away", b"one", b"two"]


def test_a_rule_gives_payload_topic_client_and_time_even_of_what_is_not_json(lab: Lab) -> None:
    device, queue = lab.device(), lab.queue()
    lab.rule(
        f"{EVERYTHING} FROM 'dt/{device.thing}/+/report'",
        lab.to_queue(queue),
    )

    with lab.connected(device) as connection:
        lab.publish(connection, f"dt/{device.thing}/x/report", b"\xff not json")
        (message,) = lab.receive(queue)

    assert base64.b64decode(message["payload"]) == b"\xff not json"
    assert (message["topic"], message["client"]) == (f"dt/{device.thing}/x/report", device.thing)
    assert abs(message["received_at"] / 1000 - time.time()) < 10


def test_a_rule_answers_a_hello_with_the_servers_time_on_the_devices_own_topic(lab: Lab) -> None:
    device = lab.device()
    lab.rule(
        f"{TIME} FROM 'dt/{device.thing}/+/connection' WHERE event = 'hello'",
        {
            "republish": {
                "topic": "cmd/${topic(3)}/time/req",
                "roleArn": lab.role(allow("iot:Publish")),
                "qos": 1,
            }
        },
    )

    with lab.connected(device) as connection:
        lab.subscribe(connection, f"cmd/{device.thing}9/time/req")
        for event in ("goodbye", "hello"):
            message = {"event": event, "nonce": f"n-{event}"}
            lab.publish(
                connection, f"dt/{device.thing}/{device.thing}9/connection", json.dumps(message).encode()
            )
        answer = connection.hears(f"cmd/{device.thing}9/time/req")

    assert (answer["nonce"], answer["v"]) == ("n-hello", 1)
    assert abs(answer["server_time_ms"] / 1000 - time.time()) < 10
    assert len(connection.heard) == 1


def test_a_rule_acknowledges_a_result_on_the_devices_own_topic(lab: Lab) -> None:
    device, namespace = lab.device(), lab.name()
    lab.rule(
        f"SELECT id, state, 1 AS v FROM 'cmd/{namespace}/+/+/res'",  # noqa: S608 - a rule
        {
            "republish": {
                "topic": f"cmd/{namespace}/${{topic(3)}}/ack/req",
                "roleArn": lab.role(allow("iot:Publish")),
                "qos": 1,
            }
        },
    )

    with lab.connected(device) as connection:
        lab.subscribe(connection, f"cmd/{namespace}/{device.thing}/ack/req")
        result = {"v": 1, "id": "cmd-1", "state": "SUCCEEDED", "detail": {"more": 1}}
        lab.publish(connection, f"cmd/{namespace}/{device.thing}/reboot/res", json.dumps(result).encode())

        assert connection.hears(f"cmd/{namespace}/{device.thing}/ack/req") == {
            "id": "cmd-1",
            "state": "SUCCEEDED",
            "v": 1,
        }


def test_presence_events_reach_a_rule_with_aws_s_fields(lab: Lab) -> None:
    device, queue = lab.device(), lab.queue()
    lab.rule(
        f"{EVERYTHING} FROM '$aws/events/presence/+/{device.thing}'",
        lab.to_queue(queue),
    )

    with lab.connected(device):
        pass
    events = {m["topic"]: json.loads(base64.b64decode(m["payload"])) for m in lab.receive(queue, 2)}

    connected = events[f"$aws/events/presence/connected/{device.thing}"]
    disconnected = events[f"$aws/events/presence/disconnected/{device.thing}"]
    assert connected["eventType"] == "connected"
    assert disconnected["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
    for field in ("clientId", "sessionIdentifier", "versionNumber"):
        assert connected[field] == disconnected[field]


@pytest.fixture(scope="module")
def confined(lab: Lab) -> Device:
    """A device whose policy lets it be itself only, by thing variables as the template's does."""
    arn, thing = "arn:aws:iot:eu-west-1:000000000000", "${iot:Connection.Thing.ThingName}"
    policy = allow("iot:Connect", f"{arn}:client/{thing}")
    policy["Statement"] += allow("iot:Publish", f"{arn}:topic/dt/{thing}/report")["Statement"]
    policy["Statement"] += allow("iot:Subscribe", f"{arn}:topicfilter/cmd/{thing}/*")["Statement"]
    policy["Statement"] += allow("iot:Receive", f"{arn}:topic/cmd/{thing}/*")["Statement"]
    return lab.device(policy)


def test_a_device_publishes_as_itself_and_is_cut_when_it_speaks_for_another(
    lab: Lab, confined: Device
) -> None:
    witness = lab.device()
    with lab.connected(witness) as hears, lab.connected(confined) as connection:
        lab.subscribe(hears, "dt/#")

        lab.publish(connection, f"dt/{confined.thing}/report", b"{}")
        connection.client.publish("dt/somebody-else/report", b"{}", qos=1)

        assert connection.disconnected.wait(5)
        assert until(lambda: bool(hears.heard))
        assert [topic for topic, _ in hears.heard] == [f"dt/{confined.thing}/report"]


def test_a_device_hears_its_own_commands_and_is_cut_when_it_listens_for_another(
    lab: Lab, confined: Device
) -> None:
    sender = lab.device()
    with lab.connected(sender) as sends, lab.connected(confined) as connection:
        lab.subscribe(connection, f"cmd/{confined.thing}/+/req")

        lab.publish(sends, f"cmd/{confined.thing}/reboot/req", b"{}")

        assert until(lambda: bool(connection.heard))
        connection.client.subscribe("cmd/somebody-else/+/req", qos=1)
        assert connection.disconnected.wait(5)


def test_a_device_cannot_connect_under_another_name(lab: Lab, confined: Device) -> None:
    with (
        pytest.raises(AssertionError, match="not connected"),
        lab.connected(confined, "somebody-else") as other,
    ):
        assert not other.disconnected.is_set()
