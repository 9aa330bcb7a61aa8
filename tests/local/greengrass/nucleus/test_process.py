"""How a process tree is asked to end."""

import time
from pathlib import Path

import pytest

from local.greengrass.nucleus.components.process import ProcessTree
from local.greengrass.nucleus.dialect import CLASSIC, LITE

pytestmark = pytest.mark.slow

STUBBORN = "trap '' TERM; touch ready-$$; while :; do sleep 0.05; done"
_GRACE_S = 0.5


def until_stubborn(folder: Path, count: int) -> None:
    while len(list(folder.glob("ready-*"))) < count:
        time.sleep(0.01)


@pytest.mark.parametrize("dialect", [CLASSIC, LITE], ids=lambda dialect: dialect.name)
def test_each_process_that_survives_sigterm_has_a_grace_of_its_own_in_classic(
    tmp_path: Path, dialect: object
) -> None:
    script = f'sh -c "$STUBBORN" & sh -c "$STUBBORN" & {STUBBORN}'
    tree = ProcessTree.start(
        script,
        folder=tmp_path,
        environment={"PATH": "/usr/bin:/bin", "STUBBORN": STUBBORN},
        log=tmp_path / "log",
        record=tmp_path / "record.json",
    )
    until_stubborn(tmp_path, 3)
    assert isinstance(dialect, type(CLASSIC))

    began = time.monotonic()
    tree.stop(_GRACE_S, each=dialect.grace_for_each_process)
    took = time.monotonic() - began

    if dialect is CLASSIC:
        assert took >= 3 * _GRACE_S
    else:
        assert _GRACE_S <= took < 3 * _GRACE_S
    assert (CLASSIC.stop_grace_s, CLASSIC.grace_for_each_process) == (5, True)
