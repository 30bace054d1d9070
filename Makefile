# Every target sets up what it needs. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.ready-docs
PEERS_READY := $(VENV)/.ready-peers
PRAESIDIUM := $(BIN)/praesidium
LONGEST := 300

CONFIG ?= train/erm
PHASE ?= phase1
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test tests check bench docs clean train evaluate reproduce

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the library and its development tools

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,oracles]'
	touch $@

run: $(READY) ## the main job: crisis table of every method on simulated and real markets (ARGS="--seeds 0")
	$(PRAESIDIUM) benchmark --preset quick $(ARGS)

test: $(READY) ## all tests, two processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

tests: test ## the same

check: $(READY) ## style, types, layers, file sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	@find src tests benchmarks -name '*.py' -exec wc -l {} + 2>/dev/null | awk '$$2 != "total" && $$1 > $(LONGEST) \
		{print $$2 ": " $$1 " lines, more than $(LONGEST); split it by concept"; bad = 1} END {exit bad}'

bench: $(PEERS_READY) ## side-by-side measurements, about 25 minutes
	@for file in benchmarks/*.py; do echo "== $$file"; OMP_NUM_THREADS=1 $(BIN)/python $$file || exit 1; done

$(PEERS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check tqdm psutil
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps pfhedge==0.23.0
	touch $@

docs: $(DOCS_READY) ## the documentation as HTML in docs/_build
	$(BIN)/sphinx-build -q -W -b html docs docs/_build

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

train: $(READY) ## train one method: CONFIG=train/irm, or train/smoke for twenty steps
	$(PRAESIDIUM) train $(if $(filter smoke,$(notdir $(CONFIG))),train.steps=20,--methods $(notdir $(CONFIG))) $(ARGS)

evaluate: $(READY) ## judge a checkpoint: CHECKPOINT=runs/.../checkpoints/step_000120.safetensors
	@test -n "$(CHECKPOINT)" || { echo "say which: make evaluate CHECKPOINT=runs/.../checkpoints/step_....safetensors"; exit 2; }
	$(PRAESIDIUM) evaluate $(CHECKPOINT) $(ARGS)

reproduce: $(READY) ## the baselines of the first protocol, seed 0: PHASE=phase1
	@test "$(PHASE)" = phase1 || { echo "PHASE=$(PHASE) is unknown; known: phase1"; exit 2; }
	$(PRAESIDIUM) benchmark --datasets synthetic_heston --methods erm,irm,groupdro,vrex --seeds 0 --out results/$(PHASE) $(ARGS)

clean: ## remove what was built; results and staged data stay
	rm -rf $(VENV) build dist docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache src/*.egg-info
