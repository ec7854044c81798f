# Two commands: `make demo` shows it, `make test` checks it. `make containers` checks the images.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# two files at once: half of what tests do is wait, for a browser, a kill, a database
TESTS := $(RUN) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test containers format clean

help:
	@echo "make demo          index films, serve on http://127.0.0.1:8000, show a first answer"
	@echo "make demo ONCE=1   the same, and exit after the first answer"
	@echo "make test          format check, lint, types, import contracts, tests"
	@echo "make containers    build the images and run Compose with them (Docker, or Podman and buildah)"
	@echo "make containers TARGET=serve   the same, without PostgreSQL, kills and training"
	@echo "make format        put the code into its format"
	@echo "XEMPLAR_DATA=DIR   real films: used by all instead of phantoms"

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("xemplar needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing xemplar (no torch) ..."
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing xemplar with everything for development (torch: some GB) ..."
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.base

demo: $(VENV)/.base
	$(RUN) demo/demo.py $(if $(ONCE),--once)

test: $(VENV)/.dev
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(TESTS) --ignore tests/trainer
	# apart, as in real life: no training shares a process with FAISS, OpenVINO and a web server;
	# where all did, the process now and then ended with a segmentation fault (see CONTRIBUTING)
	$(TESTS) tests/trainer

containers: $(VENV)/.base
	$(PIP) --editable '.[containers]'
	$(RUN) checks/containers.py $(if $(TARGET),--target $(TARGET)) \
		$(if $(XEMPLAR_DATA),--data $(XEMPLAR_DATA)) || [ $$? = 77 ]  # where none can run: skipped

format: $(VENV)/.dev
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
