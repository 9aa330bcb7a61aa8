# One command each. Everything is installed into two virtualenvs of this folder; nothing else is touched,
# save that on a Debian machine where we are root and no Docker Engine answers, Debian's docker.io is installed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python
DIALECT ?= classic
ENGINE ?= docker
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup check format test crash-points api-conformance fuzz scale bench demo demos up down token component clean

help:  ## what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed .venv-ministack/.installed  ## install what is missing (two virtualenvs)

.venv/.installed: pyproject.toml local/setup.sh
	@bash local/setup.sh .venv "$(PYTHON)" -e ".[edge,cloud,local,dev,bench]"
.venv-ministack/.installed: local/aws/emulator/requirements.txt local/setup.sh
	@bash local/setup.sh .venv-ministack "$(PYTHON)" -r local/aws/emulator/requirements.txt

demo: setup  ## the main job, end to end on this machine (DIALECT=classic|lite|lite-main ENGINE=docker|memory)
	@$(PY) -m local demo --dialect $(DIALECT) --engine $(ENGINE)

demos: setup  ## the main job in every dialect of the nucleus, one after the other (ENGINE=docker|memory)
	@for dialect in classic lite lite-main; do $(PY) -m local demo --dialect $$dialect --engine $(ENGINE); done

up: setup  ## start the platform with two devices and leave it running
	@$(PY) -m local up --dialect $(DIALECT) --engine $(ENGINE)

down:  ## stop what `make up` started
	@test -x $(PY) || { echo "down: nothing was set up here"; exit 0; }; $(PY) -m local down

token: setup  ## a bearer token for the API (ROLE=Fleet.Deployer)
	@$(PY) -m local token --role $(or $(ROLE),Fleet.Deployer)

check: setup  ## format, lint, types, import rules and the fast tests
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy contract edge cloud local bench tests
	@.venv/bin/lint-imports
	@$(PY) -m pytest -n 2 --dist loadfile -m "not engine and not platform and not slow"

format: setup  ## put the code into its form
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

test: setup check  ## everything, with a real Docker Engine and the local platform
	@.venv/bin/cfn-lint cloud/template.yaml
	@$(PY) -m local with-engine -- $(PY) -m pytest -n 2 --dist loadgroup --timeout=600 --durations=25 -m "engine or platform or slow"

crash-points: setup  ## stop the agent at every engine call and every write, and see it converge
	@$(PY) -m local with-engine -- $(PY) -m tests.crash_points

api-conformance: setup  ## the running API, held against docs/openapi.json by Schemathesis
	@$(PY) -m tests.conformance

fuzz: setup  ## poison on every inbound topic of the device and of the Lambdas
	@$(PY) -m tests.fuzz

scale: setup  ## a page of devices costs the same calls with 1,000 and with 100,000 (takes many minutes)
	@$(PY) -m tests.scale

bench: setup  ## ratios against floors and peers, measured in the same run
	@$(PY) -m local with-engine -- $(PY) -m bench --write

component: setup  ## the same greengrass-build/ as `gdk component build`
	@$(PY) edge/packaging/build.py

clean: down  ## remove everything that was made here
	@rm -rf .venv .venv-ministack build greengrass-build *.egg-info local/.state local/.env .ruff_cache .mypy_cache .hypothesis .import_linter_cache
