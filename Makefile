# Every way to work on winback-gateway. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

BIN := .venv/bin
READY := .venv/.ready
PYTEST_ARGS ?=

.PHONY: help setup parts demo test check lint types fmt bench lock wheel clean

help: ## list what can be done
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv from requirements.lock, once

$(READY): requirements.lock pyproject.toml scripts/setup.sh
	@scripts/setup.sh

parts: ## install the real peers that tests run against (Kafka, prism, Chromium, …), once
	@scripts/parts.sh

demo: setup ## run the whole gateway here: no account, no broker, no network
	@$(BIN)/winback demo

test: check ## the whole gate; what CI runs

check: setup parts lint types ## the whole gate: format, lint, types, layers, tests
	@$(BIN)/pytest $(PYTEST_ARGS)

lint: setup ## format and lint, changing nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: setup ## strict types
	@$(BIN)/mypy

fmt: setup ## put code in shape, and print what is printed from code
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .
	@$(BIN)/python scripts/configuration_page.py
	@$(BIN)/python scripts/contract_pages.py

bench: setup ## measure
	@$(BIN)/python -m bench

lock: setup ## compute requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --universal --generate-hashes --extra dev --python-version 3.11 \
		--no-annotate --no-header --quiet pyproject.toml -o requirements.lock

wheel: setup ## build dist/*.whl with the locked tools
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean: ## remove what was made here; .venv and .parts stay
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -not -path './.parts/*' -prune -exec rm -rf {} +
