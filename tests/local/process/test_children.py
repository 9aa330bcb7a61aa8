import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.process.children import (
    Child,
    DidNotStart,
    PortInUse,
    chosen_ports,
    free_ports,
    machine_environment,
    require_free,
    started,
)


def python(code: str, log: Path) -> Child:
    return Child("the part", [sys.executable, "-c", code], log=log, environment={"GIVEN": "yes"})


def test_a_part_that_ends_at_its_start_is_named_with_its_last_words_and_its_log(tmp_path: Path) -> None:
    child = python("print('starting'); raise SystemExit('no room left')", tmp_path / "log")

    with pytest.raises(DidNotStart, match="the part ended at its start: no room left") as failed:
        child.wait_until(lambda: False, within_s=10)

    assert str(tmp_path / "log") in str(failed.value)
    child.stop()


def test_a_part_that_stays_silent_is_given_up_after_its_time(tmp_path: Path) -> None:
    child = python("import time; time.sleep(60)", tmp_path / "log")

    with pytest.raises(DidNotStart, match=r"not ready within 0\.1 s"):
        child.wait_until(lambda: False, within_s=0.1)

    child.stop()
    assert not child.running


def test_stopping_a_part_ends_what_it_started_too(tmp_path: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); input()"
    child = python(code, tmp_path / "log")
    child.wait_until(lambda: bool((tmp_path / "log").read_text()), within_s=10)
    grandchild = int((tmp_path / "log").read_text())

    child.stop()
    child.stop()

    assert _ends(grandchild)


def test_a_part_ends_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    code = """
import os, pathlib, signal, sys
from local.process.children import Child
log = pathlib.Path(sys.argv[1])
print(Child("the part", ["sleep", "60"], log=log, environment={}).pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "log")]

    part = int(subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout)

    assert _ends(part)


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_part_gets_no_credential_of_whoever_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")

    environment = machine_environment()

    assert environment["PATH"] == os.environ["PATH"]
    assert not {"AWS_ACCESS_KEY_ID", "PYTHONPATH"} & environment.keys()


def test_free_ports_are_all_different_and_free() -> None:
    ports = free_ports(5)

    assert len(set(ports)) == 5
    for port in ports:
        require_free(port, "test")


def test_a_port_in_use_is_named_with_what_it_was_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(PortInUse, match=rf"port {port} \(MQTT\) is in use"):
            require_free(port, "MQTT")


@pytest.mark.parametrize("value", ["http", "0", "65535", "-1"])
def test_a_first_port_that_leaves_no_room_for_the_others_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FLEETGRASS_PORT", value)

    with pytest.raises(PortInUse, match=f"FLEETGRASS_PORT={value} is not the first of 2 ports"):
        chosen_ports(["AWS", "MQTT"])


def test_a_process_is_known_by_its_start_and_a_zombie_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    since = started(process.pid)

    assert since is not None
    assert since == started(process.pid)
    process.communicate(b"\n")
    assert started(process.pid) is None
