"""The machine: boot ids, the power FIFO, and cutting the power of everything on the device.

The FIFO takes one line a command: ``reboot`` cuts the power for ``off_s``; ``crash COMPONENT`` kills a
component's processes with SIGKILL; ``disconnect SECONDS`` takes the network away for that long,
or until ``connect``.

``restart-nucleus`` stops and starts it in order: classic's components go with it, Lite's live on with void
tokens. ``kill-nucleus`` kills its process: classic's components live on as orphans and are started a second
time; of Lite only the IPC daemon restarts. ``kill-token-exchange`` kills Lite's; classic's is part of the
nucleus. All of them leave the boot id as it is.
"""

import logging
import os
import queue
import threading
import uuid
from collections.abc import Callable, Sequence

from local.greengrass.nucleus.components.process import kill_leftovers
from local.greengrass.nucleus.device import Device, Folder
from local.greengrass.nucleus.files import write_whole
from local.greengrass.nucleus.nucleus import Nucleus
from local.greengrass.nucleus.services.containers import Containers

log = logging.getLogger(__name__)

_OFF = "off"
#: Between "reboot" and the dark: no machine goes down within the millisecond in which it is asked to, and
#: what was written to the network by then leaves it.
_GOING_DOWN_S = 0.2


class Machine:
    """One device from its first power-on until the process ends."""

    def __init__(self, device: Device, folder: Folder) -> None:
        self._device = device
        self._folder = folder
        self._containers = Containers(device.docker_host, device.thing) if device.docker_host else None
        self._commands: queue.SimpleQueue[str] = queue.SimpleQueue()

    def run(self) -> None:
        """Be powered on until ``turn_off``."""
        self._listen()
        nucleus = self._power_on()
        while (command := self._commands.get()) != _OFF:
            match command.split():
                case ["reboot"]:
                    nucleus = self._power_cycle(nucleus)
                case ["crash", component]:
                    nucleus.crash(component)
                case ["disconnect", seconds] if seconds.isdecimal():
                    nucleus.disconnect(int(seconds))
                case ["connect"]:
                    nucleus.reconnect()
                case ["restart-nucleus"]:
                    nucleus = self._next(nucleus, Nucleus.stop)
                case ["kill-nucleus"]:
                    nucleus = self._next(nucleus, Nucleus.die)
                case ["kill-token-exchange"] if self._device.nucleus.kind == "lite":
                    nucleus.kill_token_exchange()
                case _:
                    log.warning("no such power command: bytes=%d", len(command))
        nucleus.stop()
        kill_leftovers(self._folder.processes)
        self._folder.power.unlink(missing_ok=True)

    def turn_off(self) -> None:
        """Shut down in order; may be called by a signal handler."""
        self._commands.put(_OFF)

    def _power_on(self) -> Nucleus:
        boot_id = str(uuid.uuid4())
        log.info("power on: thing=%s boot_id=%s", self._device.thing, boot_id)
        write_whole(self._folder.boot_id, f"{boot_id}\n".encode())
        kill_leftovers(self._folder.processes)  # no process survives a machine's power
        return self._start()

    def _next(self, nucleus: Nucleus, end: Callable[[Nucleus], None]) -> Nucleus:
        """End classic's nucleus and start the next one; restart Lite's IPC."""
        if self._device.nucleus.kind == "lite":
            nucleus.restart_ipc()
            return nucleus
        end(nucleus)
        return self._start()

    def _start(self) -> Nucleus:
        nucleus = Nucleus(self._device, self._folder)
        nucleus.start()
        return nucleus

    def _power_cycle(self, nucleus: Nucleus) -> Nucleus:
        threading.Event().wait(_GOING_DOWN_S)
        log.info("power off: thing=%s", self._device.thing)
        nucleus.cut()
        kill_leftovers(self._folder.processes)
        restarted: Sequence[str] = self._containers.cut() if self._containers else ()
        threading.Event().wait(self._device.off_s)
        if self._containers:
            self._containers.restore(restarted)
        return self._power_on()

    def _listen(self) -> None:
        self._folder.power.unlink(missing_ok=True)
        os.mkfifo(self._folder.power, 0o600)
        threading.Thread(target=self._read_commands, name="power", daemon=True).start()

    def _read_commands(self) -> None:
        # Read and write, so that the FIFO never ends when a writer leaves.
        with open(os.open(self._folder.power, os.O_RDWR), encoding="utf-8") as commands:
            for line in commands:
                if line.strip() not in ("", _OFF):
                    self._commands.put(line.strip())
