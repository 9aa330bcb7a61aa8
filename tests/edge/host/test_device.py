"""What touches the machine itself: its boot id, its reboot, its health, its files."""

import json
from pathlib import Path

import pytest

from edge.host.health import LinuxHealth
from edge.host.machine import LinuxMachine
from edge.ports.machine import MachineError
from edge.ports.state import StateUnreadable, StateUnwritable
from edge.storage.state import StateFolder
from edge.text import clip


def a_machine(tmp_path: Path, *command: str) -> LinuxMachine:
    (tmp_path / "boot_id").write_text("2b3c-4d\n")
    return LinuxMachine(reboot_command=command or ("true",))


def test_the_boot_id_is_the_files_text(tmp_path: Path) -> None:
    assert a_machine(tmp_path).boot_id(str(tmp_path / "boot_id")) == "2b3c-4d"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"x" * 65, b"\xff"])
def test_a_boot_id_that_proves_nothing_is_refused_by_its_key(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "boot_id").write_bytes(content)

    with pytest.raises(MachineError, match=r"^boot_id_path: "):
        LinuxMachine(reboot_command=["true"]).boot_id(str(tmp_path / "boot_id"))


def test_a_reboot_runs_the_command_as_it_is(tmp_path: Path) -> None:
    a_machine(tmp_path, "sh", "-c", f"echo reboot > {tmp_path}/power").reboot()

    assert (tmp_path / "power").read_text() == "reboot\n"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["sh", "-c", "echo not allowed >&2; exit 3"], "sh exited with 3: not allowed"),
        (["/nonexistent"], "/nonexistent: No such file or directory"),
    ],
)
def test_a_failed_reboot_call_says_what_the_command_said(
    tmp_path: Path, command: list[str], text: str
) -> None:
    with pytest.raises(MachineError, match=text):
        a_machine(tmp_path, *command).reboot()


def test_this_machine_has_a_health(tmp_path: Path) -> None:
    health = LinuxHealth(lambda: tmp_path).measure()

    assert health.memory_total_bytes
    assert health.disk_total_bytes
    assert health.uptime_s > 0
    assert health.architecture in ("amd64", "arm64", "arm")


def test_what_cannot_be_measured_is_left_out(tmp_path: Path) -> None:
    health = LinuxHealth(lambda: tmp_path / "gone", proc=tmp_path, zones=tmp_path).measure()

    assert set(health.to_dict()) == {"architecture", "uptime_s"}


def test_health_is_computed_from_what_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("12.5 20.0\n")
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n")
    (tmp_path / "stat").write_text("cpu  100 0 0 900 0 0 0 0 0 0\ncpu0 1\n")
    for number, millidegrees in enumerate(("41000", "not there", "55500")):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}" / "temp").write_text(millidegrees)
    health = LinuxHealth(lambda: tmp_path, proc=tmp_path, zones=tmp_path)
    (tmp_path / "stat").write_text("cpu  125 0 0 975 0 0 0 0 0 0\ncpu0 1\n")

    found = health.measure()

    assert (found.uptime_s, found.memory_total_bytes, found.memory_available_bytes) == (
        12.5,
        1_024_000,
        409_600,
    )
    assert (found.cpu_percent, found.temperature_c) == (25.0, 55.5)


def test_an_unusable_file_is_kept_beside_until_its_owner_writes_a_new_one(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.write("a.json", b"broken")

    state.set_aside("a.json", "broken")

    assert state.read("a.json") == b"broken"
    assert state.read("a.json.unreadable") == b"broken"


def test_a_file_that_cannot_even_be_read_is_moved_away(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    state = StateFolder(tmp_path)
    with pytest.raises(StateUnreadable):
        state.read("a.json")
    with pytest.raises(StateUnwritable):
        state.write("a.json", b"x")

    state.set_aside("a.json", "a folder")

    assert state.read("a.json") is None


@pytest.mark.parametrize("text", ["", "short", "ü" * 300, "\x01" * 300, '"' * 300, "𝄞" * 300])
def test_a_clipped_text_is_within_its_bytes_as_json(text: str) -> None:
    clipped = clip(text, 100)

    assert len(clipped) <= 100
    assert len(json.dumps(clipped, ensure_ascii=False).encode()) - 2 <= 100
    assert clipped == text or "…" in clipped


def test_a_clipped_text_keeps_what_failed_and_why() -> None:
    clipped = clip(f"pull failed: {'x' * 500}: no space left on device", 100)

    assert clipped.startswith("pull failed: ")
    assert clipped.endswith(": no space left on device")
