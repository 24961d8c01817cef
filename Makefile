# Everything a newcomer needs, each with its own set-up: make demo, make test. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
SCENE ?= demo/sample/scene.tif
BIN := $(VENV)/bin
# Tests run one process per core with one thread each: more threads than cores only slow each other down.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: help demo test test-slow lint types clean

help:
	@echo "make demo              translate a synthetic scene with the model in the package"
	@echo "make demo SCENE=my.tif translate your own"
	@echo "make test              the quick tests"
	@echo "make test-slow         the slow tests: kills, fuzzing, full disks, real data"
	@echo "make lint types        ruff and mypy"

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@

demo/sample/scene.tif: | $(VENV)/.installed
	mkdir -p demo
	$(BIN)/geopix2pix sample demo/sample

demo: $(VENV)/.installed $(SCENE)
	mkdir -p demo
	$(BIN)/geopix2pix translate "$(SCENE)" demo/map.tif --preview demo/side-by-side.png --overwrite
	@echo "Open demo/map.tif over $(SCENE) in any GIS, or look at demo/side-by-side.png"

test: $(VENV)/.installed
	$(PYTEST)

test-slow: $(VENV)/.installed
	$(PYTEST) -m slow

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

clean:
	rm -rf demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
