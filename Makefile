# Two commands matter: `make demo` and `make test`. Everything they need is installed by `.venv/.ready` below.
PYTHON ?= python3
ENVOY_VERSION := 1.40.0
BIN := .venv/bin

.PHONY: demo test unit process e2e lint bench image charts lock clean setup
REGISTRY ?= localhost/isthmus

setup: .venv/.ready

.venv/.ready: pyproject.toml requirements.lock packaging/setup.sh
	PYTHON=$(PYTHON) ENVOY_VERSION=$(ENVOY_VERSION) sh packaging/setup.sh
	touch $@

demo: setup
	$(BIN)/isthmus demo

test: setup lint unit process e2e

unit: setup
	$(BIN)/pytest tests -m "not lab and not process" -n 2

process: setup
	$(BIN)/pytest tests -m "process and not lab" -n 2

e2e: setup
	$(BIN)/pytest tests -m lab

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m bench
	$(BIN)/python -m bench.metrics

# One OCI archive in dist/ with every image that the manifests run; needs apt and dpkg, but neither root nor a daemon.
image: setup
	cd packaging && ../$(BIN)/python -m images --registry $(REGISTRY)

# The Helm charts in dist/charts/, made of the same code as what `install` prints.
charts: setup
	$(BIN)/python packaging/charts.py

# The lock holds versions and hashes only; where packages come from is the machine's own configuration.
lock:
	$(BIN)/uv pip compile pyproject.toml --extra lab --group dev --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock

clean:
	rm -rf .venv .envoy .image-cache dist
