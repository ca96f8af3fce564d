# Bedplate. `make` alone lists the targets. Needs Python 3.11+, make and the package index that pip is set up for.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first interpreter that works and is new enough; `make PYTHON=/path/to/python` overrules it.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then command -v "$$p"; break; fi; done)
PORT ?= 8000
JOBS ?= 2

# Tests start hundreds of interpreters: where bytecode may not be kept, each compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
SERVICES := $(patsubst %/pyproject.toml,%,$(wildcard services/*/pyproject.toml))
MANIFESTS := pyproject.toml $(SERVICES:%=%/pyproject.toml) constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help
help: ## Print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.runtime ## Run the services with live traffic on PORT (8000); Ctrl-C ends it
	@exec $(BIN)/python -m demo --port $(PORT)

.PHONY: demo-production
demo-production: $(VENV)/.runtime ## Run them on real PostgreSQL with a replica, PgBouncer and Redis, on free ports
	@tools/servers.sh postgres pgbouncer redis-server
	@exec $(BIN)/python -m demo --port $(PORT) --production

.PHONY: test
test: lint servers ## Lint, then run every test
	$(BIN)/python -m tools.suite -n $(JOBS) --dist worksteal $(ARGS)

.PHONY: faults
faults: $(VENV)/.dev servers ## Kill, stop and starve services in every long test, two at a time; SEED=n
	FAULTS_SEED=$(SEED) $(BIN)/python -m tools.faults $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev ## Check style, types and the project's own rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools

.PHONY: format
format: $(VENV)/.dev ## Format the code and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/.dev ## Measure Bedplate beside its peers; writes docs/benchmarks.md and benchmarks/results.json
	tools/servers.sh wrk
	$(BIN)/python -m benchmarks $(ARGS)

.PHONY: docs
docs: $(VENV)/.dev ## Write docs/reference, run every example in the pages and check their links
	$(BIN)/python -m tools.reference
	$(BIN)/python -m pytest tests/unit/project -k "docs or reference or promises" $(ARGS)

.PHONY: render
render: $(VENV)/.dev ## Write deploy/: what watches the services, from what they declare
	$(BIN)/python -m tools.rendering

.PHONY: api
api: $(VENV)/.dev ## Accept the public names as they are now: rewrites tests/unit/project/public_api.txt
	$(BIN)/python -m tools.public_api --write

.PHONY: screenshots
screenshots: $(VENV)/.dev ## Take pictures of the console over the running demo: rewrites docs/images/console
	tools/servers.sh chromium
	$(BIN)/python -m tools.screenshots $(ARGS)

.PHONY: constraints
constraints: ## Resolve the newest versions in a fresh environment; rewrites constraints.txt
	PYTHON="$(PYTHON)" tools/constraints.sh

.PHONY: servers
servers: ## Install the servers and tools that tests start, where they are missing
	tools/servers.sh promtool prometheus amtool prometheus-alertmanager node npm chromium redis-server faketime postgres pgbouncer
	@tools/schemas.sh >/dev/null

.PHONY: clean
clean: ## Remove the environment, caches and build output
	rm -rf $(VENV) build dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later found: install one, or say make PYTHON=/path/to/python." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: $(BIN)/python $(MANIFESTS)
	@echo "Setting up $(VENV) …"
	$(INSTALL) -e '.[all]' $(SERVICES:%=-e %)
	@touch $@

$(VENV)/.dev: $(BIN)/python $(MANIFESTS)
	@echo "Setting up $(VENV) for development …"
	$(INSTALL) -e '.[dev]' $(SERVICES:%=-e %)
	@touch $@ $(VENV)/.runtime
