# Two commands do everything: `make train` and `make test`. Each first makes .venv and installs into it.
# make train ARGS="--preset char --corpus my.txt"     any flags of python -m minillm.train
# make test  ARGS="tests/ops -k softmax"              any flags of pytest
# make test  EXTRAS=test,oracle                       with torch, tiktoken and the other references to compare with

PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
EXTRAS ?= test

.PHONY: train test lint clean

train: .venv/installed
	$(BIN)/python -m minillm.train $(ARGS)

# One BLAS thread a process: pytest-xdist already runs a process on each core.
test: .venv/installed-$(EXTRAS)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(ARGS)

lint: .venv/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/installed-%: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	@touch $@

clean:
	rm -rf .venv build *.egg-info
