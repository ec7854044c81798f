# Two commands: `make demo` shows it, `make test` checks it. `make containers` checks the images.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# a thread each: pools of as many threads as processors wait for one another, in tests side by side;
# tests write and delete thousands of small files: in memory, where there are 4 GB of it for that
TEMPORARY := $(shell [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 ] 2>/dev/null \
	&& echo TMPDIR=/dev/shm)
TESTS := $(TEMPORARY) OMP_NUM_THREADS=1 $(RUN) -m pytest
# for those that mostly wait, for a browser, a kill, a database
WAITING := --dist loadfile --no-loadscope-reorder --numprocesses
UNIT := -m 'not system and not long' --ignore tests/trainer --ignore-glob '*/test_page*'
PAGE := $(wildcard tests/app/test_page*.py)
# what imports torch, apart: installing it, and importing it, take longer than many tests
EVALUATION := tests/evaluator tests/study tests/xemplar/model tests/test_docstrings.py
# parts at once: one more than processors, as each waits now and then
PARTS := $(MAKE) --no-print-directory --keep-going --output-sync \
	--jobs $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
# to look for them in all files would import torch and more
LONG := $(shell grep -rl --include 'test_*.py' -E 'mark\.long|every_look' tests)
SYSTEM := $(shell grep -rl --include 'test_*.py' 'mark\.system' tests | grep -v '^tests/trainer/')
# byte code is compiled as modules are imported: most of torch's thousands never are
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt
# hashes of every file of a version, so for every processor
LOCK := $(VENV)/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	--constraint constraints.txt pyproject.toml --output-file

# set in many containers: each of the hundreds of processes that tests start would compile FastAPI,
# SQLAlchemy and the like anew, which takes longer than what it is started for
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit torchless service library programs evaluation explore page \
	page-lint page-checked trainer system waiting computing thorough engines docs coverage containers lock format clean

help:
	@echo "make demo          index images, serve on http://127.0.0.1:8000, show a first answer"
	@echo "make demo ONCE=1   the same, and exit after the first answer"
	@echo "make test          all of: lint types docs unit page trainer system; each of them a target too"
	@echo "make unit          quick feedback: the unit tests alone; or a part: service library programs evaluation"
	@echo "make torchless     service library programs: most unit tests, without installing torch"
	@echo "make explore       the unit tests with random and more examples; a restore cut at every line"
	@echo "make system        short forms of the checks in tests/system/: load, kills, outages, full disks"
	@echo "make thorough      what takes longest: kills of a DICOM node, the tutorial, two training processes"
	@echo "make docs          the documentation as a site: build/site/html/index.html"
	@echo "make coverage      the unit tests, and which lines none of them runs"
	@echo "make containers    build the images and run Compose with them (Docker, or Podman and buildah)"
	@echo "make containers TARGET=serve   the same, without PostgreSQL, kills, PACS and training"
	@echo "make engines       install Milvus (530 MB) and Ray, and test with them: what make test skips"
	@echo "make lock          requirements/, which the image installs, from constraints.txt; minutes"
	@echo "make format        put the code into its format"
	@echo "XEMPLAR_DATA=DIR   real images: used by all instead of phantoms"

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("xemplar needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) pip # the one that comes with Python 3.11 knows no dependency groups; constraints.txt pins it

$(VENV)/.base: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing xemplar (no torch) ..."
	$(PIP) pip --editable .
	@touch $@

# what tests without torch need
$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing xemplar with what most tests need (no torch) ..."
	$(PIP) --editable . --group test
	@touch $@ $(VENV)/.base

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing xemplar with everything for development (torch: some GB) ..."
	$(PIP) --editable . --group dev
	@touch $@ $(VENV)/.test $(VENV)/.base

demo: $(VENV)/.base
	$(RUN) -m xemplar demo $(if $(ONCE),--once)

# every part runs, whatever becomes of the others; make fails at the end if one of them did. Each is
# one or two processes that import only what they need; the longest begin first.
test: $(VENV)/.dev
	$(PARTS) waiting programs library service evaluation trainer types docs lint

# in three commands at once, as CI does: `make torchless` before torch is there, `make computing`
# with it, and `make waiting`
torchless: $(VENV)/.test
	$(PARTS) programs library service

computing: $(VENV)/.dev
	$(PARTS) evaluation trainer types docs lint

lint: $(VENV)/.dev page-lint
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(VENV)/bin/lint-imports

# the page needs no Node, and is checked where there is one
page-lint: $(VENV)/.dev
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory page-checked; \
		else echo "SKIPPED page-lint: there is no npm here (apt-get install npm)"; fi

page-checked: node_modules/.package-lock.json
	mkdir -p build/page
	$(RUN) -m xemplar openapi > build/page/openapi.json
	npm run --silent check

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --silent

types: $(VENV)/.dev
	$(RUN) -m mypy

unit: $(VENV)/.dev
	$(PARTS) programs library service evaluation

service: $(VENV)/.test
	$(TESTS) $(UNIT) tests/app

library: $(VENV)/.test
	$(TESTS) $(UNIT) tests/xemplar $(EVALUATION:%=--ignore %)

programs: $(VENV)/.test
	$(TESTS) $(UNIT) --ignore tests/app --ignore tests/xemplar $(EVALUATION:%=--ignore %)

evaluation: $(VENV)/.dev
	$(TESTS) $(UNIT) $(EVALUATION)

explore: export HYPOTHESIS_PROFILE = explore
explore: unit

page: $(VENV)/.dev
	$(TESTS) $(WAITING) 2 -m 'not long' $(PAGE)

# apart, as in real life: no training shares a process with FAISS, OpenVINO and a web server;
# where all did, the process now and then ended with a segmentation fault (see CONTRIBUTING)
trainer: $(VENV)/.dev
	$(TESTS) -m 'not long' tests/trainer

system: $(VENV)/.dev
	$(TESTS) $(WAITING) 2 -m 'system and not long' $(SYSTEM)

# both in the same two processes: each takes as long to start as several tests
waiting: $(VENV)/.dev
	$(TESTS) $(WAITING) 2 -m '(system or page) and not long' $(SYSTEM) $(PAGE)

# what takes longest for what it can find: before a release, or where one of its parts was changed
thorough: $(VENV)/.dev
	HYPOTHESIS_PROFILE=explore $(TESTS) $(WAITING) 2 -m long $(LONG)

docs: $(VENV)/.dev
	$(RUN) docs/generate.py

coverage: $(VENV)/.dev
	$(TESTS) $(WAITING) 2 $(UNIT) $(foreach package,\
		xemplar app indexer evaluator pacs study,--cov $(package)) --cov-report term:skip-covered

# what `make containers` takes beside the base
$(VENV)/.containers: pyproject.toml constraints.txt | $(VENV)/.base
	$(PIP) --group containers
	@touch $@

containers: $(VENV)/.containers
	$(RUN) -m tests.system.containers $(if $(TARGET),--target $(TARGET)) \
		$(if $(XEMPLAR_DATA),--data $(XEMPLAR_DATA)) || [ $$? = 77 ]  # where none can run: skipped

# Milvus listens on all interfaces, so it runs, with the tests, where there is none but loopback
engines: $(VENV)/.dev
	$(PIP) --editable . --group engines
	unshare --map-root-user --net sh -c 'ip link set lo up && exec "$$@"' - \
		env $(TESTS) tests/xemplar/index/milvus tests/system/test_milvus.py
	$(TESTS) --timeout 900 tests/indexer/test_cluster.py

lock: $(VENV)/.base
	$(PIP) --editable . --group lock
	$(LOCK) requirements/build.txt --all-build-deps --only-build-deps
	$(LOCK) requirements/serve.txt --extra postgres
	$(LOCK) requirements/pacs.txt --extra postgres --extra pacs
	$(LOCK) requirements/milvus.txt --extra postgres --extra pacs --extra milvus

format: $(VENV)/.dev
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
