# `make help` lists what there is. Settings (LINGTING_...) in the environment are passed on.
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
SETUP = @python=$$(sh scripts/find_python.sh) && "$$python" scripts/setup_environment.py

.DEFAULT_GOAL := help
.PHONY: help serve test lint format bench docs lock setup setup-dev clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  make serve LINGTING_PORT=9000      any setting, see: $(BIN)/lingting settings"
	@echo "  make test ARGS='tests/streams -x'  part of the suite"

serve: setup ## Set up everything and start the server on http://127.0.0.1:8300
	@exec $(BIN)/lingting serve $(ARGS)

# the hundreds of processes that tests start shall not compile the same sources each
test: export PYTHONDONTWRITEBYTECODE :=
test: setup-dev ## Set up everything and run the whole test suite, three files at a time
	@exec $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup-dev ## Check format, style, types, the import contract and the documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: setup-dev ## Put the code into its format and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev ## Measure accuracy, speed and live streams (ARGS=--quick: 3 minutes)
	@exec $(BIN)/python -m bench $(ARGS)

docs: setup-dev ## Build the documentation into site/ and show it, with its search, on http://127.0.0.1:8301
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documentation is on http://127.0.0.1:8301 until Ctrl-C (opened as a file, it has no search)"
	@exec $(BIN)/python -m http.server 8301 --bind 127.0.0.1 --directory site

lock: ## Resolve the dependencies anew and write the locks
	@sh scripts/lock.sh $(ARGS)

setup: ## Only set up: the environment with what the server needs
	$(SETUP) serve $(VENV)

setup-dev: ## Only set up: the environment with what tests and checks need
	$(SETUP) dev $(VENV)

clean: ## Remove the environment and caches; data/ stays
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache site build dist
