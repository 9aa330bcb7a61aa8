"""``python -m tests.edge.startup.states [COMMIT...]``: makes what devices had on which another version ran.

The folder of a commit is made by that commit's own agent, in the life that ``life.py`` gives it, and comes
out the same every time: clock, tokens and ids are those of the fakes. Where a format changes on purpose, its
folder stays as it is, because such devices exist: the test says what becomes of them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.before import unpack

HERE = Path(__file__).parent


def make(commit: str) -> None:
    """Put what a device with the agent of ``commit`` had into the folder of that name."""
    shutil.rmtree(HERE / commit, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = unpack(Path(folder), "contract", "edge", "tests", commit=commit)
        subprocess.run(
            [sys.executable, HERE / "life.py", HERE / commit],
            cwd=tree,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tree)},
            check=True,
        )


if __name__ == "__main__":
    for commit in sys.argv[1:] or sorted(folder.name for folder in HERE.glob("[0-9a-f]*")):
        make(commit)
