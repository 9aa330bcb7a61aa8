#!/usr/bin/env bash
# Make the virtualenv FOLDER with what pip is told to install, once per change of the Makefile's inputs.
# usage: local/setup.sh FOLDER PYTHON pip-arguments...
set -euo pipefail
folder=$1 python=$2
shift 2
fail() { echo "setup: $*" >&2; exit 1; }

"$python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null ||
  fail "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11 (found: $("$python" --version 2>&1 || echo none))"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing Debian's python3-venv"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; } >/dev/null 2>&1 ||
      fail "apt-get could not install python3-venv"
  else
    fail "Python has no venv module; install it (Debian: apt-get install python3-venv)"
  fi
fi
echo "setup: installing into $folder (once; a minute or two)"
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$folder/bin/python" -m pip install --quiet "$@" >"$log" 2>&1 || {
  grep -v '^WARNING: Location' "$log" | tail -n 15 >&2
  fail "pip could not install into $folder; its last lines are above"
}
touch "$folder/.installed"
