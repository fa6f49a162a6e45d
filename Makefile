# Everything a newcomer needs: `make demo` shows a leaderboard and writes a report, `make check` lints and runs the quick tests.
# Each makes the virtual environment and installs into it what it needs.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# The demo must end in minutes on a laptop: two small models that need no hub, few dialogues. An English vocabulary needs
# up to 212 tokens for a reference of these dialogues, so outputs may have 224. For the zoo and all dialogues:
# make demo OFFLINE=0 MODELS=--all DEMO=
OFFLINE ?= 1
MODELS ?= gemma3-270m smollm2-135m
DEMO ?= --limit 12 --set max_new_tokens=224

.PHONY: demo check test lint pages bench docs clean

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
	HF_HUB_OFFLINE=$(OFFLINE) $(VENV)/bin/dsum-bench screen $(MODELS) --dataset samples-ko $(DEMO)
	$(VENV)/bin/dsum-bench leaderboard --dataset samples-ko
	$(VENV)/bin/dsum-bench report -o results/report.html
	@echo
	@echo 'Where to look next:'
	@echo '  results/report.html                              in a browser: charts, every sample, every run'
	@echo '  $(VENV)/bin/dsum-bench show gemma3-270m              its settings, findings and summaries'
	@echo '  $(VENV)/bin/dsum-bench compare gemma3-270m lead-3    whether they differ'
	@echo '  docs/tutorial/first-screening.md                 the same with your own dialogues'

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The tests that fetch packages need npm; Debian: apt-get install npm. A thread a process: with more threads than cores
# they wait for each other. A third process works while the commands that two of them start are loading.
test: lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 3 --dist loadgroup

# While you work: everything that needs no network and trains nothing.
check: lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadgroup -m "not slow and not network"

# The pages that are made from the code: help texts, docstrings, imports.
pages: $(VENV)/.test
	$(VENV)/bin/python tests/support/pages.py
	$(VENV)/bin/python tests/support/python_page.py
	$(VENV)/bin/python tests/support/architecture.py

# Against what people would run instead, on two cores in about half an hour. DATA: dialogues as JSON lines. GPU=1: on a GPU too.
bench: $(VENV)/.test
	$(PIP) -r benchmarks/requirements.txt
	$(VENV)/bin/python -m benchmarks --out results/reference $(if $(DATA),--data $(DATA)) $(if $(GPU),--gpu)

# The documentation as a site, in docs/_build.
docs: $(VENV)/.test
	$(VENV)/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build

clean:
	rm -rf $(VENV) docs/_build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
