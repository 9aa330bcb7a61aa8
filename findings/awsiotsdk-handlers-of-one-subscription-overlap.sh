#!/usr/bin/env bash
# awsiotsdk 1.31.0: one subscription's messages are handled at the same time, and the later one may be done before the earlier.
#
# A Greengrass component subscribes with GreengrassCoreIPCClientV2 and one callback. The nucleus sends the messages of a topic
# in order over one stream of one local socket. One would expect what MQTT clients do (paho, and the V1 client of this very
# package): a callback at a time, in order. Seen: each message is a job of a ThreadPoolExecutor with several workers, so a second
# one runs while the first is still at work. "set 1, set 2" ends as 1 where the first takes longer, with nothing logged.
# `executor=None`, or an executor with one worker, has the order of the wire.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check awsiotsdk==1.31.0 awscrt==0.36.1
cat >"$folder/hear.py" <<'PYTHON'
import base64
import concurrent.futures
import json
import os
import socket
import struct
import sys
import threading
import time
import zlib

from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

MODEL = "aws.greengrass#"
SAID = [f"message {number}" for number in (1, 2, 3)]


def frame(stream, kind, flags=0, model=None, content=None):
    """One message of AWS's event stream, as a nucleus frames it."""
    headers = b""
    for name, value in ((":message-type", kind), (":message-flags", flags), (":stream-id", stream)):
        headers += bytes([len(name)]) + name.encode() + struct.pack(">Bi", 4, value)
    for name, text in (("service-model-type", model), (":content-type", "application/json")) if model else ():
        headers += bytes([len(name)]) + name.encode() + struct.pack(">BH", 7, len(text)) + text.encode()
    payload = json.dumps(content).encode() if model else b""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def nucleus(listening):
    """Accept each connection, its one subscription, and say three things on it."""
    for _ in range(2):
        connection, _ = listening.accept()
        connection.recv(65536)
        connection.sendall(frame(0, 5, flags=1))  # connect acknowledged, accepted
        connection.recv(65536)
        connection.sendall(frame(1, 0, model=MODEL + "SubscribeToTopicResponse", content={"topicName": "t"}))
        for text in SAID:
            event = {"binaryMessage": {"message": base64.b64encode(text.encode()).decode()}}
            connection.sendall(frame(1, 0, model=MODEL + "SubscriptionResponseMessage", content=event))


def handled(**how):
    """The messages in the order in which their callbacks ended; the first takes longest."""
    done, all_done = [], threading.Event()

    def heard(event):
        text = event.binary_message.message.decode()
        time.sleep(1 if text == SAID[0] else 0)
        done.append(text)
        if len(done) == len(SAID):
            all_done.set()

    client = GreengrassCoreIPCClientV2(**how)
    client.subscribe_to_topic(topic="t", on_stream_event=heard)
    assert all_done.wait(20), f"only {done}"
    client.close()
    return done


listening = socket.socket(socket.AF_UNIX)
listening.bind(path := os.path.join(os.path.dirname(sys.argv[0]), "ipc.socket"))
listening.listen()
threading.Thread(target=nucleus, args=[listening], daemon=True).start()
os.environ |= {"AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": path, "SVCUID": "token"}
as_it_comes = handled()
with_one_worker = handled(executor=concurrent.futures.ThreadPoolExecutor(1))
print(f"sent {SAID}; callbacks ended {as_it_comes}; with one worker {with_one_worker}")
sys.exit(not (as_it_comes[-1] == SAID[0] and with_one_worker == SAID))
PYTHON
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/hear.py" || { echo "it behaves otherwise now"; exit 1; }
