"""``python -m bench.passing COUNT``: the agent as ``python -m edge`` wires it, hurried through passes.

Prints what they cost the process: ``{"rss_kib": [at a tenth of them, …, at the end], "boto": [modules]}``.
"""

import json
import os
import sys

from edge.__main__ import wire
from edge.configuration.settings import parse_environment, read_settings
from edge.events import Event, Inbox, Progressed, ShutDown
from edge.link.greengrass import GreengrassLink

_SAMPLES = 10


class HurriedInbox(Inbox):
    """Where the agent would wait for something to happen, there is work to look at, ``count`` times."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left, self.count = count, count
        self.rss_kib: list[int] = []

    def take(self, wait_s: float = 0.0) -> Event | None:
        if wait_s == 0.0:
            return super().take()
        self.left -= 1
        if self.left % (self.count // _SAMPLES) == 0:
            self.rss_kib.append(resident_kib(os.getpid()))
        return Progressed() if self.left > 0 else ShutDown()


def resident_kib(pid: int) -> int:
    """Return the memory of a process that is in RAM now (proc(5), VmRSS)."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def main(count: int) -> int:
    """Return the agent's exit status."""
    inbox = HurriedInbox(count)
    environment = parse_environment(os.environ)
    link = GreengrassLink(socket=environment.ipc_socket, token=environment.ipc_token, deliver=inbox.put)
    link.connect()
    status = wire(environment, read_settings(link), link, inbox).run()
    link.close()
    boto = sorted(name for name in sys.modules if name.partition(".")[0] in ("boto3", "botocore"))
    print(json.dumps({"rss_kib": inbox.rss_kib, "boto": boto}))
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
