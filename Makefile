# The project's commands.  Each sets up what it needs, and does nothing twice.

PYTHON ?= python3
VENV ?= .venv
# In both families, where the system's name has both: browsers that are forced to QUIC try ::1 alone.
HOST ?= localhost
PORT ?= 8000
WORKERS ?= 1
ARGS ?=
PYTEST_ARGS ?=

BIN := $(VENV)/bin
ROOMS := $(shell find fastserver/_speedups -name '*.py' -o -name '*.pyx' -o -name '*.pxd')
PURE := build/pure
# Other projects' clients meet the compiled build alone, for time's sake; both builds pass every test of the rooms
# themselves, and the floods.
PURE_ARGS := --ignore-glob='*/e2e/test_h2_*.py' --ignore-glob='*/e2e/test_websockets*.py' --ignore-glob='*/e2e/test_browser.py' --ignore-glob='*/e2e/test_h3_*.py' \
	--ignore-glob='*/bench/test_faults_live.py'
# One process for each core, and a file's tests in one of them: its servers and clients are shared.
SPREAD := -n auto --dist loadfile
# What the suite needs beside the package: tests read sources, build files and examples.
BESIDE := tests examples bench docs setup.py pyproject.toml Makefile MANIFEST.in README.md CHANGELOG.md CONTRIBUTING.md LICENSE

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test test-compiled test-pure lint format bench faults autobahn build clean
.DELETE_ON_ERROR:

help:  ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.built  ## Serve examples/app.py on https://localhost:8000 by HTTP/1.1, 2 and 3 (HOST=, PORT=, WORKERS=, ARGS=)
	@$(BIN)/fastserver examples.app:app --bind $(HOST):$(PORT) --dev-cert --http3 --workers $(WORKERS) \
		--timeout-graceful-shutdown 2 $(ARGS)

test: test-compiled test-pure  ## Run the suite against a compiled build, then against one without extensions

test-compiled: $(VENV)/.dev $(VENV)/.built-strict
	FASTSERVER_EXPECT=compiled $(BIN)/python -m pytest $(SPREAD) $(PYTEST_ARGS)

test-pure: $(VENV)/.dev
	rm -rf $(PURE) && mkdir -p $(PURE)
	FASTSERVER_NO_EXT=1 $(BIN)/python setup.py -q build --build-base $(PURE)-base --build-lib $(PURE)
	cp -R $(wildcard $(BESIDE)) $(PURE)
	cd $(PURE) && FASTSERVER_EXPECT=pure PYTHONPATH=$(CURDIR)/$(PURE) $(CURDIR)/$(BIN)/python -m pytest $(SPREAD) $(PURE_ARGS) $(PYTEST_ARGS)

lint: $(VENV)/.dev  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint $(filter %.pyx %.pxd,$(ROOMS))
	$(BIN)/mypy

format: $(VENV)/.dev  ## Format the Python sources
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

bench: $(VENV)/.bench $(VENV)/.built-strict  ## Measure this server beside others (ARGS=--help lists what it can do)
	$(BIN)/python -m bench.macro $(ARGS)

faults: $(VENV)/.bench $(VENV)/.built-strict  ## Kill, reload and starve this server and others (ARGS="--servers all")
	$(BIN)/python -m bench.faults $(ARGS)

autobahn: $(VENV)/.bench $(VENV)/.built-strict  ## Run the Autobahn WebSocket suite (PYTHON2=, ARGS="--write")
	$(BIN)/python -m tests.autobahn $(ARGS)

build: $(VENV)/.dev  ## Make dist/: the source distribution and a wheel
	rm -rf dist
	FASTSERVER_REQUIRE_EXT=1 $(BIN)/python -m build

clean:  ## Remove all that was built, the environment included
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find fastserver -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: what `run` needs, then what development needs.  The package is installed as a link to this checkout.
$(VENV)/.runtime: pyproject.toml setup.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -U 'pip>=25.1'
	$(BIN)/python -m pip install -q --group build
	PYTHONWARNINGS=ignore FASTSERVER_NO_EXT=1 $(BIN)/python -m pip install -q --no-build-isolation -e '.[http3]'
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python -m pip install -q --group test --group lint
	@touch $@

$(VENV)/.bench: $(VENV)/.runtime bench/requirements.txt
	$(BIN)/python -m pip install -q -r bench/requirements.txt
	@touch $@

# The extensions, in place: as good as it goes for `run`; all of them and without a warning for everything else.
$(VENV)/.built: $(VENV)/.runtime $(ROOMS)
	$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

$(VENV)/.built-strict: $(VENV)/.runtime $(ROOMS)
	CFLAGS=-Werror FASTSERVER_REQUIRE_EXT=1 $(BIN)/python setup.py -q build_ext --inplace
	@touch $@
