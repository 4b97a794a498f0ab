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

# Usage data stay here.
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export ORT_DISABLE_TELEMETRY := 1
export RAY_USAGE_STATS_ENABLED := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test test-all lint check docs bench plots recipe up down serve ui

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## create .venv with the pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than 3.11: name a newer one, for instance make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python install.py pipeline,onnx,timm,ray,s3,postgres,docs,dev
	@touch $@

demo: $(STAMP) ## prune a small network on the handwritten digits, end to end
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

recipe: ## make recipe NAME=cifar10-resnet20: put a recipe in the place of params.yaml
	@test -f "recipes/$(NAME).yaml" || { \
		echo "NAME is '$(NAME)': allowed are $$(ls recipes | sed 's/[.]yaml$$//' | paste -sd' ')"; exit 1; }
	@for known in recipes/*.yaml; do cmp -s $$known params.yaml && exit 0; done; \
		test -n "$(FORCE)" || git diff --quiet HEAD -- params.yaml || { \
		echo "params.yaml has changes that are in no commit: commit them, or add FORCE=1 to lose them"; exit 1; }
	@cp "recipes/$(NAME).yaml" params.yaml
	@echo "params.yaml is now recipes/$(NAME).yaml; \`git checkout params.yaml\` brings the former back"

up: $(STAMP) ## Prefect server, a worker and MLflow's pages, in the background
	@$(IN_VENV) python -m flows.servers up

down: $(STAMP) ## stop what `make up` started
	@$(IN_VENV) python -m flows.servers down

serve: $(STAMP) ## Prefect server and the deployment eagleeye/search, until Ctrl-C
	@$(IN_VENV) python -m flows.servers serve

ui: $(STAMP) ## MLflow's pages on http://127.0.0.1:5000, until Ctrl-C
	@$(IN_VENV) python -m flows.servers ui
