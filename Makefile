.PHONY: setup demo tables test test-slow test-ray test-gpu parity lint format bench bench-scale bench-models world clean
.DEFAULT_GOAL := help

# The first Python from 3.11 to 3.13; another one with PYTHON=PATH.
FITS := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3 python; do \
	$$name $(FITS) 2>/dev/null && echo $$name && break; done)
# On a machine without a GPU, cpu installs PyTorch for the CPU: 1 GB instead of 8. See uv's --torch-backend.
TORCH_BACKEND ?=
# Number of test processes. Each has one thread and about 2 GB.
WORKERS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed
RUN := $(BIN)/python -m goldennoise
UV_VERSION := 0.13.8

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP)  ## make .venv with the pinned versions

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python from 3.11 to 3.13 found: install one, or name it with PYTHON=PATH"; exit 2; }
	@$(PYTHON) $(FITS) || { echo "$(PYTHON) is no Python from 3.11 to 3.13: name one with PYTHON=PATH"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
ifeq ($(TORCH_BACKEND),)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
else
	grep -vE '^(nvidia-|cuda-|triton)' requirements.lock > .venv/requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend $(TORCH_BACKEND) -r .venv/requirements.txt
endif
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(STAMP)

demo: setup  ## the whole pipeline on the shapes world: pairs, network, comparison, page
	$(RUN) experiment=demo

tables: setup  ## every published table on the shapes world, on one page
	$(BIN)/python scripts/make_tables.py

test: setup  ## all tests except the slow ones and those for a GPU
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow and not gpu and not ray"

test-slow: setup  ## the tests that take minutes each
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) -m slow --timeout 7200

test-ray: setup  ## a Ray cluster of several nodes on this machine; installs Ray
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[ray]'
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/ray --timeout 1800

test-gpu: setup  ## checks and measurements on a GPU in 8 minutes; without one a dry run on the CPU
	$(BIN)/python scripts/on_gpu --minutes 8

parity: setup  ## compare the scorers with the packages that published them
	$(BIN)/python scripts/parity

lint: setup  ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## throughput of collect, and of every scorer at its published size
	$(BIN)/python scripts/bench_collect.py
	$(BIN)/python scripts/parity/bench.py

bench-models: setup  ## seconds and memory of full-size models with random weights (for a GPU)
	$(BIN)/python scripts/bench_models.py sdxl pixart_sigma

bench-scale: setup  ## seconds and memory by the number of pairs: 1,000, 10,000, 100,000
	$(BIN)/python scripts/bench_scale.py

world: setup  ## train, ship and measure the shapes world again (hours)
	$(BIN)/python scripts/shapes_world

clean:  ## remove outputs/
	rm -rf outputs
