import struct
from pathlib import Path

import pytest

from local.docker import engine
from local.docker.engine import EngineUnavailable, is_static
from local.process.docker_socket import answers

LOAD, INTERPRETER = 1, 3


def elf(*headers: int) -> bytes:
    """A 64-bit ELF file with program headers of these kinds, and nothing else."""
    start = b"\x7fELF\x02\x01".ljust(32, b"\0") + struct.pack("<Q", 64)
    sizes = struct.pack("<HH", 56, len(headers))
    return (start.ljust(54, b"\0") + sizes).ljust(64, b"\0") + b"".join(
        struct.pack("<I", kind).ljust(56, b"\0") for kind in headers
    )


@pytest.mark.parametrize(
    ("program", "static"),
    [
        (elf(LOAD, LOAD), True),
        (elf(LOAD, INTERPRETER), False),
        (b"#!/bin/sh\n", False),
        (b"", False),
    ],
)
def test_a_busybox_is_static_when_it_names_no_interpreter(program: bytes, static: bool) -> None:
    assert is_static(program) is static


def test_nothing_answers_where_no_engine_listens(tmp_path: Path) -> None:
    assert not answers(f"unix://{tmp_path}/docker.sock")
    assert not answers("tcp://127.0.0.1:9")
    assert not answers("ssh://somewhere")


def test_without_an_engine_and_without_root_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(EngineUnavailable, match=r"(?s)docker\.io.*ENGINE=memory") as refused:
        engine.obtain(lambda line: None)

    assert "\n" not in str(refused.value)
