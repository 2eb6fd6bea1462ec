# Everything starts here; nothing needs to be prepared but Python 3.11 or newer.
#
#   make lab     JupyterLab on the quickstart notebook     (LAB_ARGS="--no-browser --port=8899" passes options on)
#   make demo    the same job without a browser: analyses real models here, writes the notebook as HTML
#   make test    installs what the tests need, the browser included, and runs everything
#
# A second run starts at once: what is installed is remembered in .venv by the content of the files that say so.

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
LAB_ARGS ?=
# Tests run on this many cores, with one thread each so that they don't fight over them.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
PYTEST_ARGS ?= -n $(CORES) --dist worksteal
# The built extension is installed as a copy, so a newly built one is a reason to install again.
KEY := $(shell cat pyproject.toml constraints.txt t2m_notebook/labextension/package.json 2>/dev/null | cksum | cut -d' ' -f1)
CORE := $(VENV)/.installed-core-$(KEY)
EXAMPLES := $(VENV)/.installed-examples-$(KEY)
TEST := $(VENV)/.installed-test-$(KEY)
# MLX on a Linux CPU is twenty times faster with OpenBLAS in front of the BLAS that its wheel carries.
RUN = env MLX_ENABLE_TF32=0 LD_PRELOAD="$$($(PY) -m t2m_notebook.doctor --preload)" $(PY)

.DEFAULT_GOAL := help
.PHONY: help lab demo test bench table lint extension clean

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

$(VENV)/bin/python:
	@.ci/make-venv $(VENV)

# torch comes first and alone: installed beside its dependents, pip may choose another build of it.
$(CORE): | $(PY)
	@echo "Installing torch and MLX into $(VENV); the first time takes a few minutes."
	@$(PY) -m pip --disable-pip-version-check install --quiet --upgrade pip
	@$(PIP) torch
	@$(PIP) --editable .
	@rm -f $(VENV)/.installed-* && touch $@

$(EXAMPLES): $(CORE)
	@echo "Installing JupyterLab and the examples."
	@$(PIP) --editable '.[lab,examples]'
	@touch $@

$(TEST): $(CORE)
	@echo "Installing what the tests need."
	@$(PIP) --editable '.[test]'
	@.ci/system-packages
	@touch $@ $(EXAMPLES)

# JupyterLab asks on its first start whether it may fetch news. This venv answers no; the user's own settings stay.
LAB_DEFAULTS := $(VENV)/etc/jupyter/labconfig/default_setting_overrides.json
$(LAB_DEFAULTS): $(EXAMPLES)
	@mkdir -p $(@D)
	@echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' > $@

lab: $(EXAMPLES) $(LAB_DEFAULTS)
	@$(PY) -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) \
		--LabApp.default_url=/lab/tree/notebooks/quickstart.ipynb --LabApp.news_url=None \
		--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(LAB_ARGS)

demo: $(EXAMPLES)
	@$(RUN) -m t2m_notebook.demo

test: $(TEST)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest $(PYTEST_ARGS)

bench: $(TEST)
	@$(RUN) -m tests.benchmarks

table: $(TEST)
	@$(RUN) -m tests.rules.table

lint: $(TEST)
	@$(PY) -m ruff check .

# After a change in lab_extension/: needs Node and npm; what is built is committed.
extension: $(EXAMPLES)
	@command -v npm >/dev/null || { echo "Building the JupyterLab extension needs Node and npm." >&2; exit 2; }
	@cd lab_extension && npm ci --no-audit --no-fund && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" npm run build
	@$(PIP) --no-deps --editable .

clean:
	rm -rf $(VENV) demo_output .pytest_cache .hypothesis .ruff_cache
