import subprocess
import sys


def test_it_refuses_to_start_without_the_pinned_ministack_in_one_line() -> None:
    command = [sys.executable, "-m", "local.aws.emulator.launcher"]

    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert refused.returncode == 1
    assert refused.stderr.startswith("the emulator is mended for ministack 1.5.33, and ")
    assert refused.stderr.count("\n") == 1
