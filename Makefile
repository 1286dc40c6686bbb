# Two commands matter: `make demo` and `make test`. Everything they need is installed by `.venv/.ready` below.
PYTHON ?= python3
ENVOY_VERSION := 1.40.0
BIN := .venv/bin

# The lab's tests look into the lab, as only root can. An ordinary user is root in a user namespace around them.
ifneq ($(shell id -u),0)
AS_ROOT := unshare --user --map-root-user --map-auto --net --mount --pid --fork --kill-child --mount-proc \
	sh -c 'ip link set lo up && exec "$$@"' sh
endif

.PHONY: demo test unit process e2e rootless lint bench image charts lock clean setup
REGISTRY ?= localhost/isthmus

setup: .venv/.ready

.venv/.ready: pyproject.toml requirements.lock packaging/setup.sh packaging/prometheus.sh
	PYTHON=$(PYTHON) ENVOY_VERSION=$(ENVOY_VERSION) sh packaging/setup.sh
	touch $@

demo: setup
	$(BIN)/isthmus demo

test: setup lint unit process e2e

unit: setup
	$(BIN)/pytest tests -m "not lab and not process" -n 2

process: setup
	$(AS_ROOT) $(BIN)/pytest tests -m "process and not lab" -n 3 --dist loadfile

e2e: setup
	$(AS_ROOT) $(BIN)/pytest tests -m lab -n 2 --dist loadfile --no-loadscope-reorder

# What an ordinary user gets of the lab, in short: the demo, the lab's own tests and a request.
rootless: setup
	$(BIN)/isthmus demo --dir $$(mktemp -u) --down
	$(AS_ROOT) $(BIN)/pytest -p no:cacheprovider -m lab tests/lab tests/e2e/test_lab_break.py tests/e2e/test_request.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup
	$(BIN)/python -m bench
	$(BIN)/python -m bench.metrics
	$(BIN)/python -m bench.tracing

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
	rm -rf .venv .envoy .prometheus .image-cache dist
