#!/usr/bin/env bash
# pytest-xdist 3.8.0 on pytest 9.2.0: --dist loadgroup ignores xdist_group, silently: tests of one group run in several workers.
#
# xdist tells its scheduler a test's group by adding "@group" to the node's private `_nodeid`. In pytest 9.2 a node's id is an
# object of its own and `nodeid` is made of that, so that the suffix is set and nobody reads it. One would expect an error, a
# warning, or the groups: both versions are the newest, each declares to work with the other (xdist asks for pytest>=7), the marks
# are accepted, and "scheduling tests via LoadGroupScheduling" is printed. Seen: six tests of one group run in two workers, and in
# one with pytest 9.0.2. It matters where a group stands for something that only one process may use.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pytest==9.2.0 pytest-xdist==3.8.0
cat >"$folder/test_group.py" <<'PYTHON'
import os
import pathlib
import time

import pytest


@pytest.mark.xdist_group("one at a time")
@pytest.mark.parametrize("number", range(6))
def test_it(number):
    time.sleep(0.2)
    with pathlib.Path(os.environ["SEEN"]).open("a") as seen:
        seen.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PYTHON
workers() {
  rm -f "$folder/seen"
  (cd "$folder" && SEEN=$folder/seen "$folder/venv/bin/python" -m pytest -q -n 2 --dist loadgroup -p no:cacheprovider test_group.py)
  sort -u "$folder/seen" | wc -l
}
now=$(workers | tail -1)
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pytest==9.0.2
before=$(workers | tail -1)
echo "workers that ran the group: $now with pytest 9.2.0, $before with pytest 9.0.2"
[[ $now == 2 && $before == 1 ]] || { echo "it behaves otherwise now"; exit 1; }
