"""Patch of the emulator: a function marks where its output ends, and its answer waits for exactly that.

Unpatched (ministack 1.5.33) every answer of a warm function that wrote nothing to its standard error waits
50 ms, looking a thousand times a second for a line that might still come: most of what a request costs.
"""

import queue
import time
from typing import Any

from ministack.core import lambda_runtime

_END = "-- the end of this invocation's output --"
_ANSWERED = "        _real_stdout.flush()\n\nrun()"
_SAYS_SO = f"        print({_END!r}, file=sys.stderr, flush=True)\n"
_CEILING_S = 5.0


def mend_output_wait() -> None:
    """Make Python's workers end each invocation's output with a line of its own, and wait for that."""
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(_ANSWERED) != 1:
        raise NotImplementedError("the emulator's worker answers elsewhere than it did")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_ANSWERED, _SAYS_SO + _ANSWERED)
    lambda_runtime.Worker._drain_stderr_bounded = _output


def _output(self: Any, **_: float) -> str:
    """Return what the worker wrote for the invocation that it has just answered."""
    lines: list[str] = []
    deadline = time.monotonic() + _CEILING_S
    while time.monotonic() < deadline:
        try:
            line = self._stderr_queue.get(timeout=0.05)
        except queue.Empty:
            if not self._stderr_thread.is_alive():
                break  # it died, and said no more
            continue
        if line.endswith(_END):
            lines += filter(None, [line.removesuffix(_END)])  # what it left unfinished
            break
        lines.append(line)
    return "\n".join(lines)
