"""The component that these tests deploy: says what it sees, over the real IPC client."""

import json
import os
import signal
import sys
import threading
import time

from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import ServiceError

THING = os.environ["AWS_IOT_THING_NAME"]


def main() -> int:
    client = GreengrassCoreIPCClientV2()
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())

    def say(event: str, **more: object) -> None:
        body = {"event": event, "pid": os.getpid(), "version": sys.argv[1], **more}
        client.publish_to_iot_core(
            topic_name=f"probe/{THING}/out", qos="1", payload=json.dumps(body).encode()
        )

    client.subscribe_to_iot_core(
        topic_name=f"probe/{THING}/cmd",
        qos="1",
        on_stream_event=lambda event: say("echo", text=event.message.payload.decode()),
        on_stream_error=lambda _: True,
        on_stream_closed=lambda: os._exit(3),
    )
    client.subscribe_to_configuration_update(
        key_path=[],
        on_stream_event=lambda event: say("changed", keys=event.configuration_update_event.key_path),
        on_stream_error=lambda _: True,
        on_stream_closed=lambda: None,
    )
    configuration = client.get_configuration(key_path=[]).value
    environment = {
        key: os.environ.get(key) for key in ("SVCUID", "HELLO", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    }
    while True:
        try:
            say("start", configuration=configuration, environment=environment, folder=os.getcwd())
            break
        except ServiceError:  # Lite right after power-on: there is no connection yet
            time.sleep(0.1)
    ending.wait()
    say("bye")
    time.sleep(0.2)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
