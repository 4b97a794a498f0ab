# `make demo` and `make test` need Python 3.11 or newer, git and make; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
IN_VENV := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
# The tests run in as many processes as there are cores; each takes up to a gigabyte of memory. tests/conftest.py says
# which files come first, and has those that start servers and clusters run one after another, in one of the processes;
# they wait much of their time, so that all tests together take one process more.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
ALL = -n $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count() or 1, 4) + 1)') --dist loadfile --no-loadscope-reorder

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
# The targets that need the pipeline alone.
include pipeline.mk

.PHONY: install demo test test-all lint check docs bench plots

install: $(STAMP) ## create .venv with the pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than 3.11: name a newer one, for instance make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python install.py pipeline,onnx,detection,timm,ray,s3,postgres,docs,dev
	@touch $@

demo: $(STAMP) ## recipes/scenes.yaml: a small network, pruned to an eighth of its parameters, end to end
	@$(MAKE) --no-print-directory recipe NAME=scenes
	@$(IN_VENV) dvc repro
	@echo "dvc.lock and metrics.json are the record of this run: commit them to keep it."

test: $(STAMP) ## the quick tests
	@$(IN_VENV) python -m pytest $(PARALLEL)

test-all: $(STAMP) ## all tests, and Hypothesis with other examples every time
	@$(IN_VENV) python -m pytest -m "slow or not slow" --hypothesis-profile=searching $(ALL)

lint: $(STAMP) ## ruff and mypy
	@$(IN_VENV) ruff check
	@$(IN_VENV) ruff format --check
	@$(IN_VENV) mypy

check: lint test-all ## everything that a change must pass

docs: $(STAMP) ## the documentation as pages, in build/docs; a link that leads nowhere is an error
	@$(IN_VENV) python -m sphinx --fail-on-warning --keep-going --quiet -b html -c docs/site . build/docs
	@echo "build/docs/index.html"

bench: $(STAMP) ## speed, against the published protocol
	@$(IN_VENV) python -m benchmarks

plots: $(STAMP) ## pictures of what `make bench` measured last
	@$(IN_VENV) python -m benchmarks.plots
