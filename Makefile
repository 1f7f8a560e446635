# Each target prepares what it needs, so any of them works on a fresh clone.
# PYTHON=python3.12 picks the interpreter; PIP_ARGS adds options to pip, e.g. a package index with the torch you want.
PYTHON    ?= python3
PIP_ARGS  ?=
PYTEST_ARGS ?=
LAB_ARGS  ?=

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -c constraints.txt
NPM  := $(BIN)/python scripts/node.py npm --prefix js
# JupyterLab wants to be told when root starts it, as in most containers.
ROOT_ARGS := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help demo lab test setup-test lint test-python test-js bundle clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r t h; do printf '  make %-12s %s\n' "$$t" "$$h"; done

demo: $(VENV)/.core  ## install, trace and edit a fact, leave the result in demo.html
	$(BIN)/factlens demo

lab: $(VENV)/.lab  ## JupyterLab on the teaching notebooks
	$(BIN)/jupyter lab $(ROOT_ARGS) $(LAB_ARGS) notebooks

test: setup-test lint test-js test-python  ## every check and every test, browser included

setup-test: $(VENV)/.dev js/node_modules/.package-lock.json  ## everything the tests need
	$(BIN)/python scripts/kernels.py
	$(BIN)/python scripts/browser.py
	$(BIN)/python scripts/smollm2.py $(PIP_ARGS)

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test-js: $(VENV)/.dev js/node_modules/.package-lock.json  ## the TypeScript: types, style, tests, and whether the bundle is fresh
	$(NPM) run check
	$(NPM) run test
	$(NPM) run fresh

# Two processes: the browser tests in one, which mostly wait, what may not share it in the other, and the files of plain
# functions in whichever is free (tests/conftest.py).
test-python: setup-test  ## pytest; PYTEST_ARGS="tests/e2e -k theme" for a part
	FACTLENS_NO_SKIP=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --durations=15 $(PYTEST_ARGS)

bundle: $(VENV)/.dev js/node_modules/.package-lock.json  ## rebuild factlens/static from js/
	$(NPM) run build

clean:  ## remove what the targets above have made, the environment included
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache artifacts build dist demo.html js/node_modules

# The stamps live in the environment, so that removing it removes them.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "factlens needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing factlens into $(VENV): a minute or two"
	@$(PIP) -e .
	@touch $@

$(VENV)/.lab: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing factlens and JupyterLab into $(VENV): a minute or two"
	@$(PIP) -e '.[lab,plot]'
	@touch $(VENV)/.core $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing factlens and the tools for its tests into $(VENV): a minute or two"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.core $(VENV)/.lab $@

# Not npm ci: it insists on the optional packages of every platform being in the lock file, and not every registry
# has them all. This takes the locked versions too, checks their hashes, and leaves the lock file alone.
js/node_modules/.package-lock.json: js/package-lock.json | $(VENV)/.dev
	$(NPM) install --no-save --no-audit --no-fund
	@touch $@
