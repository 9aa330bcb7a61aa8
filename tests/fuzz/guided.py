"""Atheris: inputs that lead into code not reached before, in a process of their own that may die.

``python -m tests.fuzz.guided`` is that process, with libFuzzer's arguments. An input's first byte
chooses the topic, the rest is the payload.
"""

import logging
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BOUND_S = 60


def run(runs: int, found: dict[str, str]) -> int:
    """Try about ``runs`` inputs, for ``BOUND_S`` at most; return how many, and put crashes into ``found``."""
    from tests.fuzz.inputs import GOLDEN, to_text

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, (name, message) in enumerate(GOLDEN.items()):
            (corpus / name).write_bytes(bytes([number]) + to_text(message).encode())
        arguments = [
            f"-runs={runs}",
            f"-max_total_time={BOUND_S}",
            f"-artifact_prefix={folder}/",
            str(corpus),
        ]
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        for crash in Path(folder).glob("crash-*"):
            found[f"guided: {ended.stderr.strip()[-2_000:]}"] = crash.read_bytes().hex()
    done = re.search(r"^Done (\d+) runs", ended.stderr, re.MULTILINE)
    if done is None and not found:
        found[f"guided: exit status {ended.returncode}: {ended.stderr.strip()[-2_000:]}"] = ""
    return int(done[1]) if done else 0


def _main() -> None:
    import atheris

    with atheris.instrument_imports(include=["contract", "edge", "cloud"]):
        from tests.fuzz import cloud, device
    logging.getLogger("cloud").propagate = False
    logging.getLogger("cloud").addHandler(logging.NullHandler())
    agent, lambdas = device.Device(), cloud.Lambdas()
    topics = [*device.TOPICS, *cloud.TOPICS]

    def one(data: bytes) -> None:
        if not data:
            return
        topic = topics[data[0] % len(topics)]
        if topic in device.TOPICS:
            agent.feed(topic, data[1:])
        else:
            lambdas.feed(topic, data[1:])

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
