.PHONY: setup demo test test-slow parity lint format bench bench-models world clean
.DEFAULT_GOAL := help

PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
RUN := $(BIN)/python -m goldennoise
UV_VERSION := 0.13.8

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP)  ## make .venv with the pinned versions

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(STAMP)

demo: setup  ## the whole pipeline on the shapes world: pairs, network, comparison, page
	$(RUN) experiment=demo

test: setup  ## all tests but the slow ones
	$(BIN)/pytest -m "not slow and not gpu"

test-slow: setup  ## the tests that take minutes each
	$(BIN)/pytest -m slow --timeout 3600

parity: setup  ## the scorers beside the packages that published them, each in an environment of its own
	$(BIN)/python scripts/parity

lint: setup  ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## throughput of collect, and of every scorer at its published size beside a reference
	$(BIN)/python scripts/bench_collect.py
	$(BIN)/python scripts/parity/bench.py

bench-models: setup  ## full-size models with random weights: seconds and memory by option (for a GPU)
	$(BIN)/python scripts/bench_models.py sdxl pixart_sigma

world: setup  ## train, ship and measure the shapes world again (hours)
	$(BIN)/python scripts/shapes_world

clean:  ## remove what the stages made
	rm -rf outputs
