# Bare `make` lists the targets. Everything happens in .venv; nothing needs root.
PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
# Processes that run tests side by side; tests of one file stay together, and with them the servers they share. One more
# than processors, because tests wait for servers, leases and time limits; with two more they wait for each other.
JOBS ?= $(shell expr `getconf _NPROCESSORS_ONLN` + 1)
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
.DEFAULT_GOAL := help
# A campaign is many short processes, and the tests start them by the thousand: what one has compiled the next one reads,
# also where the shell asks for the opposite.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "callsheet needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/setup.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[orchestrator]'
	@touch $@

# torch first and alone: drawn in by another package it would come in the newest build, with all of CUDA.
.venv/dev.stamp: .venv/setup.stamp
	$(PIP) torch
	$(PIP) -e '.[orchestrator,worker,training,evaluation,test,lint]'
	@touch $@

.venv/worker.stamp: .venv/setup.stamp
	$(PIP) torch
	$(PIP) -e '.[orchestrator,worker]'
	@touch $@

.PHONY: setup
setup: .venv/setup.stamp ## make the virtual environment .venv with callsheet in it (no torch)

.PHONY: setup-dev
setup-dev: .venv/dev.stamp ## the same with what tests and linters need

.PHONY: demo
demo: .venv/worker.stamp ## render examples/quickstart/campaign.csv with humo-small, on the CPU, into out/quickstart/
	CALLSHEET_WEIGHTS=examples/weights $(BIN)/callsheet run examples/quickstart/campaign.csv --campaign quickstart --engine humo --model humo-small --workers 2 --out out/quickstart

.PHONY: demo-animatic
demo-animatic: setup ## the check before paying: framing, cuts and timing, drawn without a model (and without torch), into out/animatic/
	$(BIN)/callsheet run examples/quickstart/campaign.csv --campaign animatic --engine animatic --workers 2 --out out/animatic

.PHONY: test
test: setup-dev ## run the tests (about ten minutes on two cores)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not prefect" $(PYTEST_ARGS)

.PHONY: test-prefect
test-prefect: setup-dev ## run those that look at a real Prefect server, many in a real browser: the UI, its outages, `callsheet up`
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m prefect $(PYTEST_ARGS)

.PHONY: test-long
test-long: setup-dev ## the same at full length: every hostile file as a process, 200 rows on real servers, ... (an hour)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --long-run $(PYTEST_ARGS)

.PHONY: test-humo
test-humo: setup-dev ## run HuMo's fixture tests; CALLSHEET_HUMO_FIXTURES=DIR names another set
	$(BIN)/python -m pytest tests/model_runtime/humo --long-run $(PYTEST_ARGS)

.PHONY: chaos
chaos: setup-dev ## at least 1,000 real kills, stops and outages on both databases, then ten minutes without Prefect
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.flows.prefect.long_outage

.PHONY: hostile
hostile: setup-dev ## every hostile file in a process of its own, and 20,000 mutated sheets
	$(BIN)/python -m pytest tests/hostile --long-run $(PYTEST_ARGS)

.PHONY: simulate-faults
simulate-faults: setup-dev ## play 10,000 seeded schedules of faults against the code that ships; `--seed N --trace` replays one
	$(BIN)/python -m tests.simulation --seeds 10000 --keep-going

.PHONY: defences
defences: setup-dev ## cut each defence out of a copy of the code, and see which schedule misses it; writes the table into docs/reliability.md
	$(BIN)/python -m tests.simulation --defences --write docs/reliability.md

.PHONY: lint
lint: setup-dev ## ruff, mypy --strict, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: setup-dev ## let ruff put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: setup-dev ## measure, as ratios within one run; writes out/bench.json
	$(BIN)/python -m bench

# Processes that train side by side, with one thread each: quicker than one process with as many threads.
RANKS ?= 2

.PHONY: train-small
train-small: setup-dev ## train humo-small from nothing: reckoned at 3 h on 2 idle cores; run again it goes on; SMALL_ARGS='--minutes 30'
	OMP_NUM_THREADS=1 $(BIN)/python -m torch.distributed.run --standalone --nproc_per_node $(RANKS) -m model_runtime.training small --out out/train-small $(SMALL_ARGS)

.PHONY: quickstart-assets
quickstart-assets: setup ## draw the pictures and synthesise the speech of examples/quickstart again
	$(BIN)/python examples/make_quickstart.py

.PHONY: clean
clean: ## remove .venv, out/ and caches; keeps .callsheet
	rm -rf .venv out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
