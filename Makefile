# Two commands: `make run` and `make test`. Each sets up what it needs, from Python 3.11 to 3.13 and the package index alone.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
READY := .venv/.ready
SOURCE ?=
PARAMS := $(if $(SOURCE),--params "source=$(SOURCE)")

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export ORT_DISABLE_TELEMETRY := 1
# MLflow, on import, advises authors of MLflow models: not us.
export PYTHONWARNINGS := ignore::UserWarning:mlflow.pyfunc.utils.data_validation

# The first interpreter on PATH that is 3.11, 3.12 or 3.13 and can make virtual environments.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found; install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version); this takes some minutes, once …"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(READY)  ## Create .venv and install what the lock says

.PHONY: run
run: $(READY)  ## Source to evaluated classifier: make run [SOURCE=folder|archive|link|s3://…]
	@$(BIN)/kedro run $(PARAMS)
	@cat data/08_reporting/summary.txt

.PHONY: test
test: $(READY)  ## Run the tests
	@$(BIN)/python -m pytest

.PHONY: test-slow
test-slow: $(READY)  ## Run the tests that take minutes
	@$(BIN)/python -m pytest -m slow

.PHONY: format
format: $(READY)  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: lint
lint: $(READY)  ## Format, lint, types and import rules, without changing anything
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: check
check: lint  ## Everything above and the tests with a coverage gate
	@$(BIN)/python -m pytest --cov --cov-report=term

.PHONY: viz
viz: $(READY)  ## Browse the pipelines at http://127.0.0.1:4141
	@$(BIN)/kedro viz run --host 127.0.0.1 --port 4141

.PHONY: mlflow
mlflow: $(READY)  ## Browse the runs at http://127.0.0.1:5000
	@$(BIN)/kedro mlflow ui

.PHONY: serve
serve: $(READY)  ## Serve the upload page at http://127.0.0.1:8080
	@test -f data/06_models/classifier.onnx || { echo "No model yet: make run" >&2; exit 1; }
	@$(BIN)/gunicorn --config app/gunicorn_conf.py 'app:create_app()'

.PHONY: repro
repro: $(READY)  ## Reproduce the pipelines through DVC; what has not changed is not run
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

.PHONY: bench
bench: $(READY)  ## Training against the conventional recipe, frozen pass, growth, start-up; an hour: make bench [SOURCE=folder]
	@$(BIN)/python benchmarks/training.py $(if $(SOURCE),--source "$(SOURCE)" --name given)

.PHONY: bench-quick
bench-quick: $(READY)  ## The same on next to nothing, in three minutes: does it still run?
	@$(BIN)/python benchmarks/training.py --quick

.PHONY: bench-run
bench-run: $(READY)  ## Time the whole run against one bare VGG16 pass
	@$(BIN)/python benchmarks/run_against_pass.py

.PHONY: bench-audit
bench-audit: $(READY)  ## Time the audit: make bench-audit [SOURCE=folder]
	@$(BIN)/python benchmarks/audit.py $(if $(SOURCE),--source "$(SOURCE)" --name given)

.PHONY: bench-duplicates
bench-duplicates: $(READY)  ## Recall, precision and growth of the near-duplicate search; takes half an hour
	@$(BIN)/python benchmarks/near_duplicates.py --sizes 250 1000 4000

.PHONY: bench-preparation
bench-preparation: $(READY)  ## Compare ways to prepare slices: make bench-preparation SOURCE=folder
	@$(BIN)/python benchmarks/preparation.py --source "$(SOURCE)"

.PHONY: bench-intervals
bench-intervals: $(READY)  ## How often a 95 % interval holds the truth, by drawing groups and by drawing files
	@$(BIN)/python benchmarks/interval_coverage.py --output benchmarks/results

.PHONY: bench-evaluation
bench-evaluation: $(READY)  ## The evaluation against its targets, on 2,000 synthetic slices; half an hour: make bench-evaluation [SOURCE=folder]
	@$(BIN)/python benchmarks/evaluation.py $(if $(SOURCE),--source "$(SOURCE)")

.PHONY: bench-app
bench-app: $(READY)  ## The served app against bare ONNX Runtime and against Flask with TensorFlow; a quarter of an hour
	@PYTHONPATH=src:. $(BIN)/python benchmarks/app.py

.PHONY: image
image: $(READY)  ## Build the container image of this commit around the trained model
	@PYTHON=$(BIN)/python infra/image.sh

.PHONY: push
push:  ## Push the image of this commit to ECR
	@infra/push.sh

.PHONY: deploy
deploy:  ## Put the pushed image on the host: make deploy [REVISION=commit]
	@infra/remote_deploy.sh

.PHONY: smoke
smoke:  ## Ask a running app for one prediction: make smoke [URL=http://host:8080]
	@infra/smoke.sh

# With the extras kept: pip before 23.2 takes `coverage[toml]`, asked for by pytest-cov, from the newest release of coverage,
# whatever the lock says of `coverage`, and then refuses it for its missing hash.
.PHONY: lock
lock: $(READY)  ## Resolve the dependencies anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-strip-extras --upgrade --all-extras pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-strip-extras --extra serve -c requirements.lock pyproject.toml -o requirements-serve.lock

.PHONY: clean
clean:  ## Remove the environment, caches, runs and what the pipelines wrote; fetched slices in data/01_raw stay
	@rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .coverage* htmlcov test-artifacts mlruns mlflow.db .viz
	@rm -rf data/0[2-8]_*
	@find . -name __pycache__ -prune -exec rm -rf {} +
