# Everything runs from .venv, which holds exactly what constraints.txt pins.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ROOMS := domain store projections api console workers cli skald tests benchmarks install.py setup.py

.PHONY: install run test bench lint fmt lock pictures

install: $(STAMP)

# The stamp is written last: an install that was cut off starts again.
$(STAMP): constraints.txt pyproject.toml setup.py
	@$(PYTHON) install.py
	@touch $@

run: install
	@exec $(BIN)/skald serve

# What the fast path answers, tested once more without it (see tests/api/conftest.py).
FAST_PATH_TESTS = tests/api/skills/test_publish.py tests/api/skills/test_endpoints.py tests/api/skills/test_refusals.py \
	tests/api/prompts/test_endpoints.py tests/api/prompts/test_refusals.py tests/api/prompts/test_conditional.py tests/api/http

# Many tests wait for servers, so there is one worker more than cores.
TEST_WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# The checks that need no server come first; pytest's closing line comes last. Tests that kill servers and wait for them
# share the cores with each other: what fails then has to fail once more, alone, to count. One worker, as a test that hangs
# ends its process (tests/support/limits.py); short, as the names of what failed are to be read at the end of a record.
# What the tests start over and over is compiled once, whatever the environment says.
test: export PYTHONDONTWRITEBYTECODE =
test: lint
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal || { \
		echo "once more, alone:"; \
		$(BIN)/python -m pytest -n 1 -rfE --tb=short --last-failed --last-failed-no-failures none; \
	}
	@SKALD_TEST_FAST_PATH=off $(BIN)/python -m pytest -q -n auto $(FAST_PATH_TESTS)

bench: install
	@$(BIN)/python -m benchmarks

lint: install
	@$(BIN)/ruff format --check --quiet $(wildcard $(ROOMS)) || { echo "run 'make fmt'"; exit 1; }
	@$(BIN)/ruff check --quiet $(wildcard $(ROOMS))
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >/dev/null 2>&1 || $(BIN)/lint-imports

fmt: install
	@$(BIN)/ruff format $(wildcard $(ROOMS))
	@$(BIN)/ruff check --fix $(wildcard $(ROOMS))

# The pictures of docs/console.md, by Chromium.
pictures: install
	@$(BIN)/python -m tests.support.pictures

# Pins everything anew. No index address is recorded: the lock says what, the machine's pip settings say from where.
lock: install
	@$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --allow-unsafe \
		--strip-extras --all-extras --output-file constraints.txt pyproject.toml
