# carbonnode: `make devnet` shows it, `make test` proves it, `make help` lists the rest.
SHELL := /bin/sh
VENV ?= .venv
PY := $(VENV)/bin/python
CARBONNODE := $(PY) -m carbonnode
DIR ?= .devnet
SEED ?= 1
STEPS ?= 2000
FIRST ?= 0
COUNT ?= 500
REPLICAS ?= 4
WINDOW ?= 32
SEEDS_ARGS ?=
MINUTES ?= 5
PYTEST_ARGS ?=
JOBS ?= 2
ROUNDS ?= 300
STORM_ARGS ?=
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help setup devnet demo stop status clean test unit functional check types lint arch sim seeds losses mutations bench bench-vm fuzz gas interop soak wheel lock trace bench-consensus bench-snapshot failover fire storm hunt bombs

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: ## creates .venv from the hashed lock (CPython 3.11 or 3.12)
	@sh scripts/setup-env $(VENV)

devnet: ## four validators and a user node on this machine, one market year, live; leaves the network running
	@echo "carbonnode: a carbon market on a four-validator network; first the environment, then the network, then one market year"
	@$(MAKE) --no-print-directory setup
	@$(CARBONNODE) devnet up --dir $(DIR) --if-running keep
	@$(CARBONNODE) devnet demo --dir $(DIR)

demo: setup ## the market year on the network that runs
	@$(CARBONNODE) devnet demo --dir $(DIR)

status: setup ## the network's nodes
	@$(CARBONNODE) devnet status --dir $(DIR)

stop: ## ends the network's processes; data stays
	@if [ -x $(PY) ] && [ -f $(DIR)/devnet.json ]; then $(CARBONNODE) devnet down --dir $(DIR); else echo "no network in $(DIR)"; fi

clean: stop ## stop, then removes the network's data and build products (never .venv)
	rm -rf $(DIR) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find carbonnode tests scripts contracts -name __pycache__ -type d -prune -exec rm -rf {} +

test: setup ## the whole suite: unit, property, golden, simulation, vectors, functional
	@$(PY) -m pytest -n $(JOBS) --dist loadgroup $(PYTEST_ARGS)

unit: setup ## only what needs no process and no network
	@$(PY) -m pytest -n $(JOBS) -m "not functional and not slow and not interop and not soak" $(PYTEST_ARGS)

functional: setup ## only tests that start real nodes
	@$(PY) -m pytest -m functional $(PYTEST_ARGS)

check: types lint arch ## types, lint, architecture

types: setup
	@$(PY) -m mypy

lint: setup
	@$(PY) -m ruff check carbonnode tests scripts setup.py

arch: setup
	@$(PY) -m pytest -q -p no:cacheprovider tests/test_architecture.py

sim: setup ## one simulated run of consensus: make sim SEED=7 STEPS=2000
	@$(CARBONNODE) sim --seed $(SEED) --steps $(STEPS)

seeds: setup ## many seeds of the simulator: make seeds FIRST=0 COUNT=10000 (ended and started again, it goes on)
	@$(PY) scripts/sim_seeds.py --first $(FIRST) --count $(COUNT) --jobs $(JOBS) --state build/seeds-$(FIRST)-$(COUNT).json $(SEEDS_ARGS)

losses: setup ## f of many members killed for good in the simulator: make losses COUNT=4000 REPLICAS=4 WINDOW=32
	@$(PY) scripts/sim_losses.py --first $(FIRST) --count $(COUNT) --replicas $(REPLICAS) --window $(WINDOW)

mutations: setup ## plants a fault for each line of the review list: the simulator must notice every one
	@$(PY) scripts/mutations.py

bench: setup ## throughput, latency, fail-over; writes build/bench.json (QUICK=1: one short run)
	@$(PY) scripts/bench.py

bench-vm: setup ## speed of the contract VM, and of a block of 500 with its state tree; writes build/bench-vm.json
	@$(PY) scripts/bench_vm.py

bench-snapshot: setup ## a new node's way to 3,000 blocks: by a snapshot, and by executing them all; writes build/bench-snapshot.json
	@BLOCKS=$${BLOCKS:-3000} $(PY) scripts/bench_snapshot.py

bench-consensus: setup ## messages, bytes, CPU and latency of agreement for 4 to 100 validators, in the simulator (QUICK=1: to 16)
	@$(PY) scripts/bench_consensus.py

failover: setup ## 50 kills of the primary at half of peak load (RATE, default 750), and what the tail consists of
	@$(PY) scripts/failover.py

gas: setup ## nanoseconds per gas of every operation and of programs made to cheat; fails beyond 3 times the median
	@$(PY) scripts/calibrate_gas.py

fuzz: setup ## generated contracts in two processes with different hash seeds, every gas limit tried: make fuzz MINUTES=60 SEED=1
	@$(PY) scripts/fuzz_vm.py --minutes $(MINUTES) --seed $(SEED)

interop: setup ## a js-libp2p client against a node (needs npm)
	@$(PY) -m pytest -m interop tests/interop $(PYTEST_ARGS)

fire: setup ## real nodes under fire for long: minutes of SIGSTOP, 200 random crash points, network namespaces (root)
	@$(PY) -m pytest -m soak -x -s -o faulthandler_timeout=0 tests/functional/fire_long_test.py tests/functional/fire_netns_test.py $(PYTEST_ARGS)

storm: setup ## links under kills and pauses at any moment of their handshakes: make storm SEED=1 ROUNDS=300
	@$(PY) -W ignore -m tests.functional.network_storm --seed $(SEED) --rounds $(ROUNDS) $(STORM_ARGS)

hunt: setup ## whole validators in virtual time under thousands of strikes: make hunt FIRST=1 SEEDS=20 VALIDATORS=4
	@$(PY) scripts/hunt_nodes.py --first $(or $(FIRST),1) --seeds $(or $(SEEDS),20) --validators $(or $(VALIDATORS),4)

bombs: setup ## memory bombs against an executor process under its memory limit, for minutes
	@$(PY) -m pytest -m soak -x tests/attacks/test_memory_bombs.py $(PYTEST_ARGS)

soak: setup ## the market year again and again while validators are killed
	@$(PY) scripts/soak.py

wheel: setup ## builds dist/*.whl and installs it into empty environments as a test
	@sh scripts/check_wheel.sh

lock: ## renews requirements/*.lock (needs uv)
	@scripts/lock.sh

trace: setup ## which requirement is covered by which test; open ones are named
	@$(PY) scripts/requirements_report.py
