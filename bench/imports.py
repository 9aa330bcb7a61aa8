"""What an import costs a new process, as in a Lambda: compiled before, and without the device's libraries."""

import compileall
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.sides import BenchFailed

_ROOT = Path(__file__).parents[1]
#: A Lambda has a region and keys in its environment: nothing is looked for in files or asked of a network.
_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_EC2_METADATA_DISABLED": "true",
}
#: awscrt is the device's; botocore loads it where it finds it, and in a Lambda's bundle there is none.
_PROGRAM = """\
import sys, time
sys.modules["awscrt"] = None
began = time.process_time()
{work}
took = time.process_time() - began
print(took * 1000, *(name for name in sys.modules if sys.modules[name]))
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """The milliseconds of CPU that it took, without Python's own start, and what was loaded then."""

    cpu_ms: float
    modules: frozenset[str]


def compile_ours() -> None:
    """Compile what is deployed, as the bundle is."""
    for package in ("contract", "cloud"):
        compileall.compile_dir(str(_ROOT / package), quiet=1)


def imported(work: str) -> Imported:
    """Return what ``work``, a few statements, costs a new process.

    CPU time, because other processes do not lengthen it, and an import waits for nothing but the disk.

    Raises:
        BenchFailed: the process failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(work=work)],
        cwd=_ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise BenchFailed(f"{work}: {done.stderr.strip()[-400:]}")
    took_ms, *modules = done.stdout.split()
    return Imported(float(took_ms), frozenset(modules))
