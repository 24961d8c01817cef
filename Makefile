# Everything a newcomer needs, each with its own set-up: make demo, make test. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
SCENE ?= demo/sample/scene.tif
BIN := $(VENV)/bin
# Tests run one process per core with one thread each: more threads than cores only slow each other down.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: help demo test test-slow test-qgis plugin wheels screenshots lint types clean

help:
	@echo "make demo              translate a synthetic scene with the model in the package"
	@echo "make demo SCENE=my.tif translate your own"
	@echo "make test              the quick tests"
	@echo "make test-slow         the slow tests: kills, fuzzing, full disks, real data"
	@echo "make test-qgis         the tests of the plugin, in the Python of QGIS"
	@echo "make plugin            the zip that QGIS installs, from committed files"
	@echo "make wheels            the wheels of the plugin's light environment, for computers without a network"
	@echo "make screenshots       the plugin used in a real window, with pictures for docs/images"
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

# QGIS brings its own Python modules; pytest runs them in an environment that sees these.
QGIS_PYTHON ?= /usr/bin/python3
QGIS_VENV ?= .venv-qgis

$(QGIS_VENV)/.installed:
	$(QGIS_PYTHON) -m venv --system-site-packages $(QGIS_VENV)
	$(QGIS_VENV)/bin/pip install --quiet 'pytest>=8' 'pytest-qgis>=2'
	@touch $@

test-qgis: $(VENV)/.installed
	@if $(QGIS_PYTHON) -c 'import qgis.core' 2>/dev/null; then $(MAKE) --no-print-directory run-test-qgis; \
	else echo "skipped: $(QGIS_PYTHON) has no QGIS; install it, or name another with QGIS_PYTHON"; fi

.PHONY: run-test-qgis
run-test-qgis: $(QGIS_VENV)/.installed
	GEOPIX2PIX_PYTHON=$(abspath $(BIN))/python QT_QPA_PLATFORM=offscreen \
		$(QGIS_VENV)/bin/python -m pytest --confcutdir=tests/qgis tests/qgis

plugin:
	mkdir -p dist
	git archive --format=zip --prefix=geopix2pix_qgis/ -o dist/geopix2pix_qgis.zip HEAD:qgis_plugin
	@echo "In QGIS: Plugins > Manage and Install Plugins > Install from ZIP: dist/geopix2pix_qgis.zip"

# For the Python that QGIS brings, since that makes the environment of the plugin.
WHEELS ?= dist/wheels

wheels: $(VENV)/.installed $(QGIS_VENV)/.installed
	rm -rf $(WHEELS)
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir $(WHEELS) .
	$(QGIS_VENV)/bin/pip download --quiet --only-binary :all: --dest $(WHEELS) --requirement light.txt 'pyogrio>=0.7'
	@echo "In the plugin's environment: wheel $$(ls $(WHEELS)/geopix2pix-*.whl), folder of wheels $(WHEELS)"

screenshots: $(VENV)/.installed plugin wheels demo/sample/scene.tif
	rm -rf demo/qgis
	mkdir -p demo/qgis/work
	SCREENSHOTS_ZIP=$(abspath dist/geopix2pix_qgis.zip) SCREENSHOTS_WHEELS=$(abspath $(WHEELS)) \
		SCREENSHOTS_PYTHON=$(abspath $(BIN)/python) SCREENSHOTS_SAMPLE=$(abspath demo/sample) \
		SCREENSHOTS_WORK=$(abspath demo/qgis/work) SCREENSHOTS_IMAGES=$(abspath docs/images) \
		timeout 1800 xvfb-run -a -s "-screen 0 1280x800x24" \
		qgis --nologo --noversioncheck --profiles-path demo/qgis/profile --code tests/qgis/screenshots.py
	$(BIN)/python -c "from pathlib import Path; from PIL import Image; \
		[Image.open(p).convert('RGB').quantize(128, dither=0).save(p, optimize=True) for p in Path('docs/images').glob('qgis-*.png')]"

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

clean:
	rm -rf demo build dist .venv-qgis *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
