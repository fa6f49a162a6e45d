# Everything a newcomer needs: `make demo` shows a leaderboard, `make test` passes the tests.
# Each makes the virtual environment and installs into it what it needs.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# The demo must end in minutes, so it leaves the hub alone; `make demo OFFLINE=0` screens the whole zoo.
OFFLINE ?= 1

.PHONY: demo test test-fast lint clean

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dsum-bench needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

# Torch goes first and alone: once the pinned one is there, nothing pulls in another.
$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	@touch $@

$(VENV)/.package: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.package
	$(PIP) --editable '.[test]'
	@touch $@

demo: $(VENV)/.package
	HF_HUB_OFFLINE=$(OFFLINE) $(VENV)/bin/dsum-bench screen --all --dataset samples-ko
	$(VENV)/bin/dsum-bench leaderboard

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The tests that fetch packages need npm; Debian: apt-get install npm.
test: lint
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup

test-fast: $(VENV)/.test
	$(VENV)/bin/python -m pytest -m "not slow and not network"

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
