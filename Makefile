# The commands of README.md. Each one sets up the virtual environment first, if there is none.
VENV ?= .venv
PYTHON ?= python3
STORE ?= work
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-all vulkan bench lint docs clean

# A marker for each set of packages; it is renewed when a file changes that lists them.
$(VENV)/.installed: setup.cfg constraints.txt
	@echo "Installing into $(VENV): about 2.7 GB on a machine without a GPU, several more with CUDA. This takes some minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[all]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP_INSTALL) --quiet --editable '.[all,docs,test]'
	$(PIP_INSTALL) --quiet --no-deps pyiqa timm torchvision
	@touch $@

demo: $(VENV)/.installed
	@PATH="$(abspath $(BIN)):$$PATH" LUIGI_CONFIG_PATH=luigi.demo.cfg $(BIN)/luigi --module tasks FullPipeline --store-root $(STORE)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

# tests/sr apart: torch, DALI and OpenVINO hold threads of their own, and the tests of tasks/ fork.
# Two workers and not one for each core: most tests start processes and threads themselves.
# In the order of tests/conftest.py: long files first.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) tests/data tests/pipeline tests/tasks tests/faults tests/docs tests/deploy tests/test_end_to_end.py
	$(PYTEST) tests/sr tests/gpu

# ffmpeg and a Vulkan device in software, on which the tests run shaders; without them these tests are skipped.
SUDO ?= $(if $(filter 0,$(shell id -u)),,sudo -n)
vulkan:
	@{ command -v ffmpeg && ls /usr/share/vulkan/icd.d/*.json; } >/dev/null 2>&1 || \
	{ $(SUDO) apt-get update --quiet && \
	  $(SUDO) apt-get install --yes --no-install-recommends ffmpeg mesa-vulkan-drivers; } || \
	echo "ffmpeg and a Vulkan device are missing and could not be installed: the tests of shaders are skipped."

test-all: vulkan test
	$(BIN)/python tests/faults/kill_demo.py -- --module tasks MakeCrops --dataset Sample --workers 2 --crops-crops-per-shard 60
	$(BIN)/python tests/faults/kill_demo.py
	PYTHONPATH=.:tests/support $(BIN)/python tests/faults/every_task.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/workers.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/memory.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/memory_upscale.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/streams.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/video_matrix.py --check
	$(BIN)/python tests/faults/first_use.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/kill_download.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/bucket.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/kill_training.py
	PYTHONPATH=.:tests/support $(BIN)/python tests/faults/kill_search.py
	PYTHONPATH=.:tests/support $(BIN)/python tests/faults/kill_codec_gain.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/cluster.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/training_hosts.py
	PYTHONPATH=.:tests/support $(BIN)/python tests/faults/ray_nodes.py
	PYTHONPATH=.:tests/support $(BIN)/python tests/faults/slurm.py
	PYTHONPATH=tests/support $(BIN)/python tests/faults/clean_environment.py
	$(BIN)/pytest tests/faults/spandrel_networks.py
	$(if $(SR_SHARED),$(BIN)/pytest -s tests/faults/int8_of_vapsr.py)

bench: $(VENV)/.installed-test
	$(BIN)/python tests/bench/crops.py $(SOURCES)
	$(BIN)/python tests/bench/scheduling.py
	$(BIN)/python tests/bench/index.py
	PYTHONPATH=. $(BIN)/python tests/bench/selection.py
	PYTHONPATH=.:tests/support $(BIN)/python tests/bench/plan.py
	PYTHONPATH=. $(BIN)/python tests/bench/evaluation.py
	PYTHONPATH=tests/support $(BIN)/python tests/bench/train.py
	$(BIN)/python tests/bench/loader.py $(SOURCES)
	PYTHONPATH=. $(BIN)/python tests/bench/shapes.py 4x32 5x32 6x32 3x48 4x48 5x48
	$(if $(SR_SHARED),PYTHONPATH=. $(BIN)/python tests/bench/leakage.py)
	$(if $(SR_SHARED),PYTHONPATH=. $(BIN)/python tests/bench/groups.py)
	$(if $(SR_SHARED),PYTHONPATH=. $(BIN)/python tests/bench/reencode.py $(SR_SHARED)/images/kodak)
	$(if $(MODEL),PYTHONPATH=.:tests/support $(BIN)/python tests/bench/video.py $(MODEL))
	$(if $(SR_SHARED),PYTHONPATH=. $(BIN)/python tests/bench/inference.py $(SR_SHARED))
	$(if $(SR_SHARED),PYTHONPATH=. $(BIN)/python tests/bench/int8_noise.py $(SR_SHARED)/weights/vapsr3x3_x2.pth \
		--calibration $(SR_SHARED)/images/kodak --images $(SR_SHARED)/images/sunhays80 --crops 8)
	$(if $(SR_SHARED),PYTHONPATH=. $(BIN)/python tests/bench/small_models.py --train $(SR_SHARED)/images/kodak \
		$(SR_SHARED)/images/sunhays80 --teacher $(SR_SHARED)/weights/vapsr3x3_x2.pth)
	$(if $(SR_SHARED),PYTHONPATH=. $(BIN)/python tests/bench/compressed.py $(SR_SHARED)/images/sunhays80)

clean:
	rm -rf $(STORE)
