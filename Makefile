# Each target does its own set-up: a fresh machine needs only Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint types unit campaign benchmark docs format clean setup help

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: needs Python 3.11+ and its venv module (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[cli,dev]'
	@touch $@

setup: $(STAMP)  ## Make the virtual environment that all targets use

demo: $(STAMP)  ## Walk one real image from archive to snapshots and back to nothing
	$(BIN)/python examples/demo.py

test: lint types unit  ## Run everything that must pass: lint, types, tests

lint: $(STAMP)  ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP)  ## Check the types, strictly
	$(BIN)/mypy

unit: $(STAMP)  ## Run the tests
	$(BIN)/pytest --numprocesses auto

# ONLY=crash runs one of them, CAMPAIGN=FIRST:COUNT goes through other seeds.
campaign: $(STAMP)  ## Run the campaigns against the engine in their long form
	ORLOP_CAMPAIGN=$(or $(CAMPAIGN),long) $(BIN)/pytest --numprocesses auto \
		$(if $(ONLY),tests/campaigns/test_$(ONLY)_campaign.py,tests/campaigns)

# Options of the command behind it: make benchmark BENCHMARK="--only engine --json FILE"
benchmark: $(STAMP)  ## Measure Orlop beside Debian's containerd and bbolt
	$(BIN)/python -m benchmarks $(BENCHMARK)

docs: $(STAMP)  ## Write the pages that are made from the code
	$(BIN)/python -m orlop.inspect.rules_page > docs/collection-rules.md

format: $(STAMP)  ## Mend style and formatting
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## Remove what these targets made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
