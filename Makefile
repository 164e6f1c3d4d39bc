# Everything runs in .venv, from the hashed locks in requirements/. Nothing asks a question.
# A second run costs next to nothing: each step leaves a stamp in .venv, older locks are installed again.
#
#   make run      install, migrate, make the first super admin, serve
#   make test     install what the tests need and run them      ARGS="-k trigger -x"
#   make soak     the long tests that `make test` leaves out    ARGS="-k keys"
#   make lint     style, types, layers, migrations, known vulnerabilities
#   make bench    the benchmark                                 ARGS="--help"
#   make screenshots  pictures of every page of the console, in build/screenshots (needs Chromium)
#   make reference  write docs/api.md anew, from the routes
#   make lock     resolve requirements/*.txt anew               UPGRADE=1: to the newest versions
#   make clean    remove .venv and every cache (never data)
#
# PYTHON=/path/to/python picks the interpreter that makes .venv.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

ARGS ?=
PYTHON ?=
PYTHONS := python3.13 python3.12 python3.11 python3
AUDIT_SECONDS := 90
# Tests mostly wait for servers and programs: twice the usual two processors. `-n 0` in ARGS runs them one by one.
TEST_WORKERS := 4

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --require-hashes

# An --user install (from someone's pip.conf) or a foreign module path would not be this environment.
export PIP_USER := 0
unexport PYTHONPATH PYTHONHOME
# Every process would compile all modules anew: a quarter of the time that a short command takes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test soak lint bench screenshots reference lock clean
help:
	@sed -n 's/^#   make/  make/p' Makefile

run: $(VENV)/.project
	@exec $(BIN)/hhh serve $(ARGS)

test: $(VENV)/.project $(VENV)/.test $(VENV)/.compiled
	@exec $(BIN)/python -m pytest backend/tests --numprocesses $(TEST_WORKERS) --dist worksteal $(ARGS)

soak: $(VENV)/.project $(VENV)/.test
	@exec $(BIN)/python -m pytest backend/tests -m soak --numprocesses $(TEST_WORKERS) --dist worksteal $(ARGS)

bench: $(VENV)/.project $(VENV)/.test
	@exec $(BIN)/python -m bench $(ARGS)

screenshots: $(VENV)/.project $(VENV)/.test
	@exec $(BIN)/python -m bench.screenshots $(ARGS)

reference: $(VENV)/.project
	@$(BIN)/python -m hhh.cli.api_reference > docs/api.md.new && mv docs/api.md.new docs/api.md

.PHONY: lint-style lint-types lint-layers lint-migrations audit
lint: lint-style lint-types lint-layers lint-migrations audit

LINT_READY := $(VENV)/.project $(VENV)/.test $(VENV)/.lint

lint-style: $(LINT_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-types: $(LINT_READY)
	$(BIN)/mypy

lint-layers: $(LINT_READY)
	$(BIN)/lint-imports

# On an empty database of its own: whatever the environment or a .env names is left alone.
lint-migrations: $(LINT_READY)
	@echo 'alembic upgrade head (on an empty database)'
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	HHH_ENV=dev HHH_DATA_DIR="$$tmp" HHH_DATABASE_URL="sqlite:///$$tmp/hhh.db" $(BIN)/alembic upgrade head

# Asks a service on the network, so it may fail without failing the build. Strict: a package that could not be
# looked up is a warning as well, and never counted as free of known vulnerabilities.
audit: $(LINT_READY)
	@for lock in requirements/*.txt; do \
		echo "pip-audit $$lock"; \
		timeout $(AUDIT_SECONDS) $(BIN)/pip-audit --strict --progress-spinner off --require-hashes --disable-pip -r "$$lock" \
			|| echo "WARNING: pip-audit found something in $$lock, or could not ask about it; the build goes on" >&2; \
	done </dev/null

# Prints the interpreter to use: the first that is new enough and can make an environment with pip.
define FIND_PYTHON
old=; bare=; \
for python in $(or $(PYTHON),$(PYTHONS)); do \
	version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { old="$$old $$version"; continue; }; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { bare=$${bare:-$$version}; continue; }; \
	echo "$$python"; exit 0; \
done; \
if [ -n "$$bare" ]; then \
	echo "Python $$bare is here, but its venv module is not. On Debian and Ubuntu: apt-get install python$$bare-venv" >&2; \
else \
	echo "Python 3.11 or newer is needed (found:$${old:- none}). On Debian and Ubuntu: apt-get install python3 python3-venv" >&2; \
fi; \
exit 1
endef

$(VENV)/.python:
	@python=$$($(FIND_PYTHON)); \
	echo "making $(VENV) with $$($$python -V)"; \
	"$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.runtime: requirements/build.txt requirements/runtime.txt $(VENV)/.python
	@echo 'installing requirements/build.txt and requirements/runtime.txt'
	@$(INSTALL) -r requirements/build.txt -r requirements/runtime.txt
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.runtime
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.runtime
	@echo 'installing requirements/test.txt'
	@$(INSTALL) -r requirements/test.txt
	@touch $@

# In a fresh clone each worker would compile every test, with what pytest adds to its assertions: here that is done once,
# by two processes. What is wrong with a test is told by the run that follows.
$(VENV)/.compiled: $(VENV)/.project $(VENV)/.test
	@echo 'compiling the tests'
	@for tests in integration 'unit contract e2e'; do \
		(cd backend/tests && exec ../../$(BIN)/python -m pytest --collect-only -qq $$tests >/dev/null 2>&1) & \
	done; wait
	@touch $@

$(VENV)/.lint: requirements/lint.txt $(VENV)/.test
	@echo 'installing requirements/lint.txt'
	@$(INSTALL) -r requirements/lint.txt
	@touch $@

# The locks hold for Python 3.11 and newer on every platform, each built on those before it, so that all fit
# together in one .venv. The resolver is locked too (requirements/lock.txt) and has an environment of its own.
LOCK_VENV := $(VENV)/lock
# A resolution starts from the present locks, so that only what pyproject.toml asks for changes; UPGRADE=1 starts afresh.
COMPILE := $(LOCK_VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-config --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

$(LOCK_VENV)/.done: requirements/lock.txt $(VENV)/.python
	@$(BIN)/python -m venv --clear $(LOCK_VENV)
	@$(LOCK_VENV)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes \
		-r requirements/lock.txt
	@touch $@

lock: $(LOCK_VENV)/.done
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --group pyproject.toml:test -c requirements/runtime.txt -o requirements/test.txt
	$(COMPILE) --group pyproject.toml:lint -c requirements/runtime.txt -c requirements/test.txt -o requirements/lint.txt
	$(COMPILE) --group pyproject.toml:build -c requirements/runtime.txt -c requirements/test.txt -c requirements/lint.txt -o requirements/build.txt
	$(COMPILE) --group pyproject.toml:lock -o requirements/lock.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
	find backend -name __pycache__ -type d -prune -exec rm -rf {} +
