# Each target does its own set-up: a fresh machine needs only Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The accelerator: the same, with compiled modules, in an environment of its own.
ACCELERATED := .venv-accelerated
ACCELERATED_STAMP := $(ACCELERATED)/.installed
CAN_COMPILE := $(PYTHON) -c 'import os, pathlib, shutil, sys, sysconfig; \
	headers = pathlib.Path(sysconfig.get_path("include"), "Python.h"); \
	compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"; \
	sys.exit(not (headers.exists() and shutil.which(compiler.split()[0])))'
TO_COMPILE := a C compiler and the headers of Python (Debian: apt-get install gcc python3-dev)

# What runs against the accelerator: make test-accelerated TESTS=tests runs all.
TESTS := tests/architecture/test_accelerator.py tests/bolt tests/kv tests/filters tests/records tests/schema \
	tests/stores tests/differential tests/collector tests/explain tests/maintenance \
	tests/campaigns/test_crash_campaign.py tests/campaigns/test_hostile_files_campaign.py \
	tests/campaigns/test_interrupts_campaign.py tests/campaigns/test_world_campaign.py

.PHONY: check slow-tests demo test test-accelerated lint types unit campaign benchmark docs architecture format clean setup \
	accelerate help

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: needs Python 3.11+ and its venv module (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[cli,dev]'
	@touch $@

setup: $(STAMP)  ## Make the virtual environment that all targets use

# A copy is built: the compiler leaves what it makes beside the source, where all would find it.
$(ACCELERATED_STAMP): pyproject.toml $(shell find src -name '*.py')
	@$(CAN_COMPILE) || { echo "make: needs $(TO_COMPILE)"; exit 1; }
	$(PYTHON) -m venv $(ACCELERATED)
	copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && \
		cp -R pyproject.toml README.md LICENSE src "$$copy" && \
		HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(ACCELERATED)/bin/pip install --quiet \
		--disable-pip-version-check "$$copy[cli,dev]"
	@touch $@

accelerate: $(ACCELERATED_STAMP)  ## Make a virtual environment with compiled modules
	$(ACCELERATED)/bin/orlop --version

demo: $(STAMP)  ## Walk one real image from archive to snapshots and back to nothing
	$(BIN)/python examples/demo.py

test: lint types unit  ## Run everything that must pass: lint, types, tests
	@if $(CAN_COMPILE) || [ "$$ORLOP_REQUIRE_REAL_PARTS" = 1 ]; \
		then $(MAKE) --no-print-directory test-accelerated; \
		else echo "make: the accelerator is not tested: that needs $(TO_COMPILE)"; fi

test-accelerated: $(ACCELERATED_STAMP)  ## Run tests against the compiled modules
	$(ACCELERATED)/bin/pytest --numprocesses auto $(TESTS)

lint: $(STAMP)  ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# What a change is judged by while it is made: no campaigns, no real daemons, nothing that takes long.
QUICK := not real and not campaign and not slow
QUICK_FOLDERS := --ignore tests/campaigns --ignore tests/real --ignore tests/benchmarking

check: lint types  ## Lint, types and the quick tests, in under a minute
	$(BIN)/pytest --numprocesses auto -m '$(QUICK) and not listed' $(QUICK_FOLDERS)

slow-tests: $(STAMP)  ## Measure which tests are too slow for make check, and write their list
	$(BIN)/pytest --numprocesses auto -m '$(QUICK)' $(QUICK_FOLDERS) --write-slow-tests

types: $(STAMP)  ## Check the types, strictly
	$(BIN)/mypy

unit: $(STAMP)  ## Run the tests
	$(BIN)/pytest --numprocesses auto

# ONLY=crash runs one of them, CAMPAIGN=FIRST:COUNT goes through other seeds.
campaign: $(STAMP)  ## Run the campaigns against the engine in their long form
	ORLOP_CAMPAIGN=$(or $(CAMPAIGN),long) $(BIN)/pytest --numprocesses auto \
		$(if $(ONLY),tests/campaigns/test_$(ONLY)_campaign.py,tests/campaigns tests/safety)

# Options of the command behind it: make benchmark BENCHMARK="--only engine --json FILE"
benchmark: $(STAMP)  ## Measure Orlop beside Debian's containerd and bbolt
	$(BIN)/python -m benchmarks $(BENCHMARK)

docs: $(STAMP)  ## Write the pages that are made from the code
	$(BIN)/python -m orlop.explain.rules_page > docs/collection-rules.md

architecture: $(STAMP)  ## Draw the floors into docs/architecture.md, from the imports
	PYTHONPATH=tests $(BIN)/python -m architecture.drawing

format: $(STAMP)  ## Mend style and formatting
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## Remove what these targets made
	rm -rf $(VENV) $(ACCELERATED) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
