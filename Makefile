# make demo   trains the example          make test   every gate that a change must pass
# Needs git, make and Python 3.11 or newer; uv and everything else is brought from here.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
RUN := $(UV) run --frozen

.PHONY: demo test format check unit crd benchmark e2e e2e-full cluster-up cluster-down
.DEFAULT_GOAL := test

demo: .venv/synced
	$(RUN) greenroom run examples/cartpole-dqn.yaml

test: check .venv/synced
	$(RUN) python -m e2e.cluster build
	$(RUN) pytest -n auto

# Fast gates first: formatting, lint, types, layering, links of the documentation's site.
check: .venv/synced
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) lint-imports --no-cache
	$(RUN) mypy
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build

# What people run all day: without whole trainings and runs as processes.
unit: .venv/synced
	$(RUN) python -m e2e.cluster build
	$(RUN) pytest -n auto -m "not slow"

# Real nodes, by kind, and what happens there line by line: the suite leaves its cluster standing, for a next run or for your hands.
e2e: cluster-up
	$(RUN) pytest -n 0 -s --durations 0 -m "not full" e2e/suite

e2e-full: cluster-up
	$(RUN) pytest -n 0 -s --durations 0 e2e/suite

cluster-up: .venv/synced
	$(RUN) python -m e2e.kind up

cluster-down: .venv/synced
	$(RUN) python -m e2e.kind down

format: .venv/synced
	$(RUN) ruff format
	$(RUN) ruff check --fix

# The CRD and the page of its fields follow from the models in crds/greenroom_api, the chart's
# generated files from it and from charts/; tests tell when they do not.
crd: .venv/synced
	$(RUN) python -m greenroom_api.crd > crds/rlexperiments.yaml.new
	mv crds/rlexperiments.yaml.new crds/rlexperiments.yaml
	$(RUN) python -m greenroom_api.reference > docs/reference.md.new
	mv docs/reference.md.new docs/reference.md
	$(RUN) python -m charts.generate

# The tables in docs/performance.md; peers are installed by a dependency group of their own.
benchmark: .venv/synced
	$(RUN) --group benchmarks python benchmarks/dqn_cartpole.py
	$(RUN) python benchmarks/acting.py
	$(RUN) python benchmarks/reverb_client.py
	$(RUN) python benchmarks/variables.py
	$(RUN) --group benchmarks python benchmarks/impala_cartpole.py
	$(RUN) python benchmarks/actors_scaling.py
	$(RUN) python -m benchmarks.operator_load --beside kuberay jobset

.venv/synced: $(UV) pyproject.toml uv.lock crds/pyproject.toml worker/pyproject.toml operator/pyproject.toml
	$(UV) sync --frozen --python $(PYTHON)
	@touch $@

$(UV):
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Greenroom needs Python 3.11 or newer. Got: {sys.version.split()[0]}"'
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
