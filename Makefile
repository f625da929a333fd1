# The commands of README.md. Each sets up the virtual environment first, if there is none.
VENV ?= .venv
PYTHON ?= python3
STORE ?= work
BIN := $(VENV)/bin

.PHONY: demo test test-all bench lint clean

# A marker for each set of packages, renewed when what it depends on changes.
$(VENV)/.installed: setup.cfg constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

demo: $(VENV)/.installed
	@PATH="$(abspath $(BIN)):$$PATH" LUIGI_CONFIG_PATH=luigi.demo.cfg $(BIN)/luigi --module tasks FullPipeline --store-root $(STORE)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

# In two processes: torch, DALI and OpenVINO hold threads of their own, and the tests of tasks/ fork.
test: lint
	$(BIN)/pytest tests/data tests/pipeline tests/tasks tests/faults tests/test_end_to_end.py
	$(BIN)/pytest tests/sr

test-all: test
	$(BIN)/python tests/faults/kill_demo.py -- --module tasks MakeCrops --dataset Sample --workers 2 --crops-crops-per-shard 60
	$(BIN)/python tests/faults/kill_demo.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/workers.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/memory.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/memory_upscale.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/kill_download.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/kill_training.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/clean_environment.py

bench: $(VENV)/.installed-test
	$(BIN)/python tests/bench/crops.py $(SOURCES)
	$(BIN)/python tests/bench/scheduling.py
	$(BIN)/python tests/bench/index.py
	PYTHONPATH=tests/support $(BIN)/python tests/bench/train.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/bench/loader.py $(SOURCES)
	PYTHONPATH=. $(BIN)/python tests/bench/shapes.py 4x32 5x32 6x32 3x48 4x48 5x48
	$(if $(MODEL),PYTHONPATH=.:tests/support $(BIN)/python tests/bench/video.py $(MODEL))
	$(if $(SR_SHARED),PYTHONPATH=. $(BIN)/python tests/bench/inference.py $(SR_SHARED))

clean:
	rm -rf $(STORE)
