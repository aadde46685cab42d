# Every habit of the project; `make help` lists them. The two that a newcomer needs: `make demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python
PYTHON ?= python3
DEMO_ROOT := .demo
PYTEST := $(BIN)/python -m pytest -n 3 --dist worksteal

# Every target that runs tests takes a part of them: make test TESTS=tests/deploy K='rollback or restart'
TESTS :=
K :=
# $(call tests,FOLDER) is what to run: FOLDER, unless TESTS names something else
tests = $(or $(TESTS),$1) $(if $(K),-k "$(K)")
DEFAULT := not slow and not browser and not clients and not faults and not chaos

export UV_PYTHON_DOWNLOADS := never
# Every process that a test starts would compile its modules again
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo
	@echo "Times are those of two idle cores. All that run tests take TESTS=path and K=expression."

# --- set-up: each mark is a file that is made once

$(VENV)/.system: tools/install_system.sh
	@tools/install_system.sh
	@mkdir -p $(VENV) && touch $@

$(BIN)/uv: | $(VENV)/.system
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ocrpack needs Python 3.11 or later; pass PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.6'

$(VENV)/.ocrpack: pyproject.toml $(BIN)/uv
	@$(INSTALL) $(BIN)/python --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.ocrpack
	@$(INSTALL) $(BIN)/python --group dev
	@touch $@

$(VENV)/.units: tools/install_system.sh | $(VENV)/.dev
	@tools/install_system.sh systemd
	@tools/install_system.sh registry
	@touch $@

$(VENV)/.browser: $(VENV)/.dev
	@tools/install_system.sh chromium
	@$(INSTALL) $(BIN)/python --group browser
	@touch $@

.PHONY: setup
setup: $(VENV)/.dev ## install what is missing, for development

# --- use

.PHONY: demo
demo: $(VENV)/.ocrpack ## build, deploy and verify the default bundle, and print the page's address
	@engine=tesseract; $(BIN)/ocrpack validate bundles/tesseract --quiet >/dev/null 2>&1 || { engine=rapidocr; \
	echo "Tesseract's language data is not to be had here: the demo reads with PP-OCR, from the package index."; }; \
	bundle=$$($(BIN)/ocrpack build bundles/$$engine --output dist --force); echo "$$bundle"; \
	$(BIN)/ocrpack deploy "$$bundle" --root $(DEMO_ROOT) --any-port 2>&1; \
	$(BIN)/ocrpack verify $$engine --root $(DEMO_ROOT)
	@echo
	@$(BIN)/ocrpack status --root $(DEMO_ROOT)
	@echo
	@echo "Open the page in the URL column and drop an image on it. End it with: make demo-stop"

.PHONY: demo-stop
demo-stop: $(VENV)/.ocrpack ## end the demo and delete what it made
	@for engine in tesseract rapidocr; do [[ -e $(DEMO_ROOT)/apps/$$engine ]] || continue; \
	digest=$$($(BIN)/ocrpack list $$engine --root $(DEMO_ROOT) --json | sed -nE 's/.*"digest": "([0-9a-f]{64})".*/\1/p'); \
	$(BIN)/ocrpack remove $$engine --root $(DEMO_ROOT) --yes; \
	for tag in $$(git tag --list "$$engine/v*" 2>/dev/null); do \
	if git tag --list -n99 "$$tag" | grep -qF "$${digest:-nothing}"; then git tag --delete "$$tag" >/dev/null; fi; done; done

# --- checks

.PHONY: test
test: $(VENV)/.dev $(VENV)/.units ## the default tests: every kind of case once (6 minutes)
	@$(PYTEST) -m '$(DEFAULT)' $(call tests,tests)

.PHONY: test-slow
test-slow: $(VENV)/.dev $(VENV)/.units ## the other variants of each kind, deadlines that pass, the demo in a fresh clone (10 minutes)
	@$(PYTEST) -m slow $(call tests,tests)

.PHONY: test-all
test-all: $(VENV)/.dev $(VENV)/.units ## both of these (16 minutes)
	@$(PYTEST) -m 'slow or ($(DEFAULT))' $(call tests,tests)

.PHONY: test-browser
test-browser: $(VENV)/.browser ## the page in a real Chromium (2 minutes)
	@$(PYTEST) -m browser $(call tests,tests/browser)

$(VENV)/clients/.done: $(VENV)/.dev
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/clients
	@$(INSTALL) $(VENV)/clients/bin/python --group clients --editable .
	@touch $@

.PHONY: test-clients
test-clients: $(VENV)/clients/.done ## other people's programs talk to the app: Mistral's client, LiteLLM, LightRAG, Schemathesis (3 minutes)
	@$(VENV)/clients/bin/python -m pytest -m clients $(call tests,tests/app)

$(VENV)/.faults: $(VENV)/.dev
	@tools/install_system.sh cc
	@touch $@

.PHONY: faults
faults: $(VENV)/.faults ## the fault matrix: every fault in every phase, under load; writes docs/reliability.md (10 minutes)
	@$(PYTEST) -m faults $(if $(TESTS)$(K),,--reliability docs/reliability.md) $(call tests,tests/faults)

.PHONY: security
security: $(VENV)/.dev ## write the table of hostile archives and their refusals in docs/security.md (1 minute)
	@$(PYTEST) --security -k table tests/hostile

$(VENV)/.fuzz: $(VENV)/.dev
	@$(INSTALL) $(BIN)/python --group fuzz
	@touch $@

FUZZ_SECONDS ?= 30
FUZZ_TARGETS := archive inside manifest descriptor lock measured signature

.PHONY: fuzz
fuzz: $(VENV)/.fuzz ## coverage-guided fuzzing of all that reads a stranger's bytes, FUZZ_SECONDS for each reader (5 minutes)
	@for target in $(FUZZ_TARGETS); do echo "fuzz $$target"; \
	$(BIN)/python -m tests.fuzz $$target $(FUZZ_SECONDS) > .fuzz.log 2>&1 || { tail -60 .fuzz.log; exit 1; }; \
	grep -E 'stat::(number_of_executed_units|peak_rss_mb)' .fuzz.log; done; rm .fuzz.log

.PHONY: chaos
chaos: $(VENV)/.dev ## kill processes at random for CHAOS_SECONDS, with CHAOS_SEED (1 minute)
	@$(BIN)/python -m pytest -s -m chaos $(call tests,tests/faults)

.PHONY: coverage
coverage: $(VENV)/.dev $(VENV)/.units ## the default tests, with the lines that they reach (15 minutes)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -m '$(DEFAULT)' $(call tests,tests) || true
	@$(BIN)/coverage combine -q && $(BIN)/coverage report --skip-covered

.PHONY: lint
lint: $(VENV)/.dev ## style and types (1 minute)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python tools/make_schema.py --check

.PHONY: format
format: $(VENV)/.dev ## put the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: schema
schema: $(VENV)/.ocrpack ## write schemas/descriptor.schema.json and the field reference from the model
	@$(BIN)/python tools/make_schema.py

.PHONY: samples
samples: $(VENV)/.dev ## draw the samples of the bundles
	@$(BIN)/python tools/draw_samples.py

.PHONY: bench
bench: $(VENV)/.dev ## measure speed and memory side by side with what a user would do instead
	@$(BIN)/python -m benchmarks

$(VENV)/.accuracy: $(VENV)/.dev
	@tools/install_system.sh accuracy
	@touch $@

.PHONY: accuracy
accuracy: $(VENV)/.accuracy ## measure how well the engines read, with and without preprocessing; writes docs/accuracy.md
	@$(BIN)/python -m benchmarks.accuracy

.PHONY: clean
clean: ## delete what the targets above made, the demo's deployment excepted
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
