# `make demo` and `make test` need Python 3.11+ and make, and set up everything else in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Where this is set, each of the programs that the tests start would compile the whole package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-kernels test-long lint site examples benchmarks clean

demo: $(READY)  ## a first page at once, then transfers trained and diagnosed: demo/index.html
	$(BIN)/diag demo

test: $(READY) lint  ## lint, types, layers, doctests and tests
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not long"

test-kernels: $(READY)  ## the numeric tests again, under every kernel that this processor can be told to use
	$(BIN)/python -m tests.kernels

test-long: $(READY)  ## the tests that `make test` leaves out: killed studies, a full disk, Ray, the live demo
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m long

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

site: $(READY)  ## the documentation as a site, with a gallery of reports: site/index.html
	$(BIN)/python -m pip install --quiet -e '.[site]' -c constraints.txt
	rm -rf site
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.site site

examples: $(READY)  ## make the checkpoints in examples/ anew (it says how long)
	$(BIN)/python examples/make.py

benchmarks: $(READY)
	$(BIN)/python benchmarks/startup.py

clean:
	rm -rf $(VENV) demo site

# TORCH_INDEX may name the index of another build of torch (README).
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH_INDEX) torch -c constraints.txt
	$(BIN)/python -m pip install --quiet -e '.[dev]' -c constraints.txt
	touch $@
