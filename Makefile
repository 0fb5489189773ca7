# Everything a person does with this repository.  `make help` lists it.
# Nothing is installed outside .venv; only Python 3.11 or newer and make are expected.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python that is new enough; PYTHON=/path/to/python says otherwise.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
  "$$name" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && { echo "$$name"; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
STAGE := .ci/stage
# More arguments for `opentrail up`, pytest or the bench: make up UP="--watch /var/log/audit.json"
UP ?= --sample
TESTS ?=
BENCH ?=
CONTAINERS ?= docker
# Processes the tests are spread over: many of them wait, so more than there are cores.
WORKERS ?= 3

.PHONY: help
help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: up
up: .venv/.runs ## Set up, then run aggregator, agent and a sample stream here (Ctrl-C ends it)
	@printf '%s\n' '' \
	  'In another terminal, in this folder:' \
	  '  . .venv/bin/activate' \
	  '  opentrail status                              what is received, searchable, archived' \
	  '  opentrail lookup --limit 5                    the newest events' \
	  '  opentrail lookup "eventName:ConsoleLogin"     one kind of event' \
	  '  opentrail count --by eventSource              what is going on' \
	  '  opentrail tail                                as they arrive' \
	  'Your own files: make up UP="--watch /path/to/*.json".  Events are kept in ./var.' ''
	@exec $(BIN)/opentrail up $(UP)

.PHONY: setup
setup: .venv/.tests ## Only the set-up: .venv with what runs and what tests

.PHONY: test
test: ## All the set-up, then every check and test except the long ones (12 minutes at most)
	@$(STAGE) set-up $(MAKE) --no-print-directory .venv/.tests
	@$(STAGE) lint $(BIN)/ruff check .
	@$(STAGE) types $(BIN)/mypy
	@$(STAGE) imports $(BIN)/lint-imports
	@$(STAGE) tests $(BIN)/python -m pytest -m "not long" --durations=15 -n $(WORKERS) \
	  --dist loadscope --no-loadscope-reorder $(TESTS)

.PHONY: test-long
test-long: .venv/.tests ## Only the long tests: minutes each
	@$(STAGE) long-tests $(BIN)/python -m pytest -m long --durations=0 $(TESTS)

.PHONY: test-all
test-all: test test-long proto-check ## Everything: test, the long tests, generated code up to date

# The generator's version is the oldest runtime its output accepts, so it has its own environment.
.PHONY: proto
proto: .venv/.generates ## Generate the gRPC code again after a change to a .proto file
	.venv/generator/bin/python -m grpc_tools.protoc -I proto \
	  --plugin=protoc-gen-mypy=.venv/generator/bin/protoc-gen-mypy \
	  --plugin=protoc-gen-mypy_grpc=.venv/generator/bin/protoc-gen-mypy_grpc \
	  --python_out=proto --grpc_python_out=proto --mypy_out=proto --mypy_grpc_out=proto \
	  proto/opentrail/v1/*.proto

.PHONY: proto-check
proto-check: ## Fail when the committed gRPC code is not what the generator makes
	@$(STAGE) generate $(MAKE) --no-print-directory proto
	@$(STAGE) generated-code git diff --exit-code --stat -- proto

.PHONY: chart
chart: .venv/.tests ## Generate the chart's schema and README again after a change to values or settings
	@$(BIN)/python charts/generate.py

.PHONY: wheels
wheels: .venv/.runs ## What the images are built from: build/wheels, with every dependency as pinned
	rm -rf build/wheels
	$(PIP) wheel --quiet --constraint constraints.txt --wheel-dir build/wheels '.[aggregator,opensearch,s3]'

.PHONY: images
images: wheels ## Build both images with $(CONTAINERS) (docker by default)
	for role in aggregator agent; do \
	  $(CONTAINERS) build --build-arg REVISION=$$(git rev-parse HEAD) --tag opentrail-$$role:0.1.0 \
	    --file packages/docker/$$role.Dockerfile build; \
	done

.PHONY: sbom
sbom: .venv/.tests ## The bill of materials of both roles: build/opentrail.cdx.json (CycloneDX)
	@$(BIN)/python -m packages.supply.bill

.PHONY: audit
audit: .venv/.tests ## Known holes in what is pinned; it fails also when no advisory service answers
	@$(BIN)/python -m packages.supply.advisories

.PHONY: bench
bench: .venv/.runs ## The figures of docs/performance.md (BENCH="name..." for some, --list for names)
	@$(BIN)/python -m bench.run $(BENCH)

.PHONY: clean
clean: ## Remove caches and builds; keeps .venv and ./var
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Each stamp is newer than what it was made from, so set-up runs only after a change.
.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer with ensurepip here;" \
	  "install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.runs: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[aggregator]'
	@touch $@

.venv/.tests: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[aggregator,dev]'
	@touch $@ .venv/.runs

.venv/.generates: proto/requirements.txt | .venv/bin/python
	$(PYTHON) -m venv .venv/generator
	.venv/generator/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
	  --requirement proto/requirements.txt
	@touch $@
