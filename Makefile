# make dev    installs into .venv and starts the Dagster UI on the example project
# make docs   builds the documentation into site/
# make demo   materializes the example project without the UI
# make test   lint, types and tests: the newest and the oldest supported Dagster, real Airflow 2 and 3
# Only Python 3.10+ and make are needed; uv is used where it is installed, and installed into .venv where it is not.

PYTHON ?= python3
PORT ?= 3000
DAY ?= 1
WORKERS ?= 3
VENV := .venv
OLDEST := .venv-oldest
BETWEEN := 1.10.0 1.11.0 1.12.0
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(CURDIR)/$(BIN)/uv)
EXAMPLE := example_project
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/$(VENV)
export DAGSTER_DISABLE_TELEMETRY := 1

# make bench             measures every cost beside its floor; QUICK=1 in five minutes, ONLY="lineage shell" some rows
# make deliver DAY=2    brings the next day's files to the example project

.PHONY: install deliver dev demo test lint types tests tests-oldest versions docs bench format clean

install: $(BIN)/.installed

$(CURDIR)/$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(BIN)/.installed: pyproject.toml uv.lock | $(UV)
	$(UV) sync --quiet --locked --inexact
	@touch $@

deliver: install
	$(BIN)/python $(EXAMPLE)/deliver.py --day $(DAY)

dev: install
	@test -d $(EXAMPLE)/starbake/datasets || $(BIN)/python $(EXAMPLE)/deliver.py --day $(DAY)
	@mkdir -p .dagster_home && cp $(EXAMPLE)/dagster.yaml .dagster_home/
	@echo
	@echo "  The Dagster UI is at http://127.0.0.1:$(PORT) once the lines below say so; press Ctrl-C to stop."
	@echo "  Lineage > Materialize all runs the whole Starlake project."
	@echo
	DAGSTER_HOME=$(CURDIR)/.dagster_home PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dagster dev -w workspace.yaml -p $(PORT)

demo: install
	$(BIN)/python $(EXAMPLE)/deliver.py --reset --day $(DAY)
	$(BIN)/starlake-dagster run $(EXAMPLE)/starbake --env DUCKDB

# What takes one process each runs two at a time; the tests then have all cores. tests/docs builds the documentation.
test:
	$(MAKE) -j2 lint types versions $(OLDEST)/.installed
	$(MAKE) tests tests-oldest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: install
	$(BIN)/pyright

# Each test that needs no Dagster runs once: where its import is forbidden (WITHOUT_DAGSTER in tests/conftest.py).
RUN := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

tests: install
	$(BIN)/pytest $(RUN) --dagster without
	$(BIN)/pytest $(RUN) --dagster with

# All extras, except those that need a newer Dagster, and those that no test with the oldest Dagster uses.
EXTRAS := $(shell sed -n '/^\[project.optional-dependencies\]/,/^\[/s/^\([a-z0-9-]*\) = .*/\1/p' pyproject.toml | grep -vx -e airlift -e azure -e bigquery -e snowflake | paste -sd, -)

# The oldest supported Dagster is the one that dagster-shell pins: the plain resolution of the extra.
$(OLDEST)/.installed: pyproject.toml install
	$(UV) venv --quiet --clear --python ">=3.10,<3.13" $(OLDEST)
	cd $(OLDEST) && $(UV) pip install --quiet --no-config --python $(CURDIR)/$(OLDEST)/bin/python \
		-e "$(CURDIR)[$(EXTRAS)]" hypothesis pytest pytest-timeout pytest-xdist ruff
	@touch $@

tests-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest $(RUN) --dagster with -m "not newest_only"

# Between the oldest and the newest Dagster, the first release of each minor version: definitions, a run, a partition, a tick.
versions: $(BETWEEN:%=versions-%)

versions-%: .venv-dagster-%/.installed
	.venv-dagster-$*/bin/python -m pytest -q tests/dagster_features/test_versions.py

.PRECIOUS: .venv-dagster-%/.installed
.venv-dagster-%/.installed: pyproject.toml | install
	$(UV) venv --quiet --clear --python ">=3.10,<3.13" .venv-dagster-$*
	cd .venv-dagster-$* && $(UV) pip install --quiet --no-config --python bin/python -e "$(CURDIR)[duckdb]" "dagster==$*" pytest pytest-timeout
	@touch $@

# A broken link, anchor or reference fails (with --quiet it would not). Says at its end which code blocks no test runs, and why.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python -m tests.docs.blocks

# starlake-dagster works with no newer Dagster than this; the benchmarks measure it beside this package.
.venv-peer/.installed: pyproject.toml | install
	$(UV) venv --quiet --clear --python ">=3.10,<3.13" .venv-peer
	cd .venv-peer && $(UV) pip install --quiet --no-config --python bin/python -e "$(CURDIR)" "starlake-dagster[shell]" "dagster==1.9.13"
	@touch $@

# What a user would pick instead for transforms and for loads, with the same DuckDB. dbt-core 1.12 needs a parser from outside of the registry.
.venv-peers/.installed: pyproject.toml | install
	$(UV) venv --quiet --clear --python ">=3.10,<3.13" .venv-peers
	cd .venv-peers && $(UV) pip install --quiet --no-config --python bin/python dagster-dbt "dbt-core<1.12" dbt-duckdb "dlt[duckdb]" pyarrow \
		"duckdb==$$($(CURDIR)/$(BIN)/python -c 'import duckdb; print(duckdb.__version__)')"
	@touch $@

bench: install .venv-peer/.installed .venv-peers/.installed
	$(UV) sync --quiet --locked --inexact --group bench
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(OLDEST) .venv-dagster-* .venv-airflow-2* .venv-airflow-3* .dagster_home .pytest_cache .ruff_cache .hypothesis dist site
