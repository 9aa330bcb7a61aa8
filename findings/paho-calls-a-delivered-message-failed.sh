#!/usr/bin/env bash
# paho-mqtt 2.2.0: publish() without a connection reports the same failure for a message that is lost and for one that is kept.
#
# Of a QoS 1 message that is published while the client is not connected one would expect either a code that says "queued", or a
# failure and no message. Seen: rc is MQTT_ERR_NO_CONN and wait_for_publish() raises "Message publish failed", word for word as for
# QoS 0, whose message is indeed gone; but the QoS 1 message is in the client's queue, goes out with the next connection, is
# acknowledged and reported to on_publish as a success. Even after that is_published() raises "Message publish failed". Who
# publishes again on that error, as the text suggests, sends everything of an outage twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check paho-mqtt==2.2.0
cat >"$folder/publish.py" <<'PYTHON'
import socket
import struct
import sys
import threading

import paho.mqtt
import paho.mqtt.client as mqtt

arrived = []


def broker(listening):
    """MQTT 3.1.1 as far as one publisher needs it; its packets here are shorter than 128 bytes."""
    connection, _ = listening.accept()
    stream = connection.makefile("rb")
    while head := stream.read(2):
        body = stream.read(head[1])
        if head[0] >> 4 == 1:
            connection.sendall(b"\x20\x02\x00\x00")  # CONNACK: accepted, no session
        elif head[0] >> 4 == 3:
            topic_bytes, rest = struct.unpack(">H", body[:2])[0], body[2:]
            rest = rest[topic_bytes:]
            if head[0] & 0b110:
                connection.sendall(b"\x40\x02" + rest[:2])  # PUBACK
                rest = rest[2:]
            arrived.append(rest.decode())


def says(ask):
    try:
        return ask()
    except RuntimeError as error:
        return str(error)


listening = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=broker, args=[listening], daemon=True).start()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="meter-7")
succeeded, acknowledged = [], threading.Event()


def on_publish(_client, _userdata, mid, reason_code, _properties):
    succeeded.append((mid, str(reason_code)))
    acknowledged.set()


client.on_publish = on_publish
lost, kept = client.publish("meter/7", "QoS 0", qos=0), client.publish("meter/7", "QoS 1", qos=1)
before = [(info.rc.name, says(lambda info=info: info.wait_for_publish(0.1))) for info in (lost, kept)]
client.connect("127.0.0.1", listening.getsockname()[1])
client.loop_start()
acknowledged.wait(10)
after = says(kept.is_published)
client.disconnect()
client.loop_stop()
print(f"paho-mqtt {paho.mqtt.__version__}, offline: QoS 0 {before[0]}, QoS 1 {before[1]}")
print(f"once connected: arrived {arrived}; on_publish had {succeeded}; is_published() of QoS 1: {after!r}")
failed = "Message publish failed: The client is not currently connected."
alike = before == [("MQTT_ERR_NO_CONN", failed)] * 2
sys.exit(not (alike and arrived == ["QoS 1"] and succeeded == [(kept.mid, "Success")] and after == failed))
PYTHON
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/publish.py" || { echo "it behaves otherwise now"; exit 1; }
