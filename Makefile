# Two commands: `make demo` and `make test`. Both set up what they need, once.
#
# Nothing but make and Python >= 3.11 is assumed; choose another interpreter with
# `make demo PYTHON=python3.12`.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.ready
LOCK   := requirements.lock
BENCH  ?= bench.json
FRAMES ?= 1000000
POINTS ?= 24
TESTERS ?= 2
MINUTES ?= 30

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench bench-gpu fuzz chaos soak validate-network validate-fleet screenshots lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: $(STAMP) ## Virtual environment with the locked dependencies (done by the others when needed)

# torch goes first and alone: its exact version decides whether a CPU or a CUDA build comes, and
# nothing resolved later may replace it.
$(STAMP): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: $(PYTHON) is older than Python 3.11; try make PYTHON=python3.11" >&2; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint $(LOCK) torch
	$(PY) -m pip install --quiet --requirement $(LOCK)
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## The main job: 24 devices steer a cloud model across slow links
	$(VENV)/bin/costeer demo

lint: $(STAMP) ## Style, types and the import contract
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

# One thread per process: the tests start several, and they share the cores. A file's tests stay
# together: they share what is dear to make. Files come in their own order, not those of the most
# tests first: the longest have few.
test: export OMP_NUM_THREADS := 1
test: lint ## Linters, types, import contract and tests (in TESTERS=2 processes)
	$(PY) -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

bench: $(STAMP) ## Measure; results go to bench.json
	$(VENV)/bin/costeer bench --out $(BENCH)

bench-gpu: $(STAMP) ## Steps of a 7B-shaped model on a GPU; says so where there is none
	$(VENV)/bin/costeer bench --only gpu --out bench-gpu.json

fuzz: $(STAMP) ## Hostile bytes: a million damaged frames (FRAMES=...)
	$(PY) -m experiments.fuzz --frames $(FRAMES) --seed 7

chaos: $(STAMP) ## Kill, stall and repeat at 24 points, while Ray loses and delays messages; compare digests
	RAY_testing_rpc_failure='{"CoreWorkerService.grpc_client.PushTask": {"num_failures": 40, "req_failure_prob": 5, "resp_failure_prob": 5}}' \
	RAY_testing_asio_delay_us='CoreWorkerService.grpc_server.PushTask=0:20000' \
		$(PY) -m tests.cluster.chaos --points $(POINTS) --seed 7
	RAY_testing_asio_delay_us='CoreWorkerService.grpc_server.PushTask=0:20000' \
		$(PY) -m tests.cluster.chaos --points $(POINTS) --seed 8 --way live

soak: $(STAMP) ## Live runs with a kill each minute (MINUTES=30): digests, memory, what is left behind
	$(PY) -m tests.cluster.soak --minutes $(MINUTES)

validate-network: $(STAMP) ## The link model beside real TCP (root, Linux, 12 minutes; writes the table into docs/)
	$(PY) -m experiments.validation --write docs/network-validation.md

screenshots: $(STAMP) ## Pictures of a report for docs/images (chromium and chromedriver)
	$(VENV)/bin/costeer run demo --address none --out runs/screenshots
	$(PY) -m tests.screenshots runs/screenshots

validate-fleet: $(STAMP) ## Compiled fleets beside real models and this machine (20 minutes; writes a page into docs/)
	$(PY) -m experiments.fleet_validation --write docs/fleet-validation.md

# pip-tools is needed here alone. The local part of a version (+cpu) is cut off, so that the lock
# holds wherever torch comes from.
lock: $(STAMP) ## Rewrite the lock from the ranges in pyproject.toml (CPython 3.11, Linux x86-64)
	$(PY) -m pip install --quiet pip-tools
	$(PY) -m piptools compile --quiet --upgrade --strip-extras --allow-unsafe --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
		--annotation-style=line --extra dev --extra eval --output-file $(LOCK) pyproject.toml
	sed -i -E -e 's/^([^# ]+)\+[a-z0-9]+/\1/' \
		-e '1i # Made by `make lock` from pyproject.toml, for CPython 3.11 on Linux x86-64.' $(LOCK)

clean: ## Remove the environment and everything made by tools and runs
	rm -rf $(VENV) build dist *.egg-info runs $(BENCH) .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
