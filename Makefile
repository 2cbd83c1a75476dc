# Two commands do everything: `make train` and `make test`. Each first makes .venv and installs into it.
# make book                                          opens the book's notebooks
# make docs                                          builds the documentation site
# make train ARGS="--preset char --corpus my.txt"     any flags of python -m minillm.train
# make test  ARGS="tests/ops -k softmax"              any flags of pytest
# make test  EXTRAS=test,oracle                       with torch, tiktoken and the other references to compare with

PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
EXTRAS ?= test
LINT := $(if $(findstring lint,$(EXTRAS)),$(EXTRAS),lint)

.PHONY: train test book docs lint sanitize clean

train: .venv/installed-$(EXTRAS)
	$(BIN)/python -m minillm.train $(ARGS)

# One thread a process: pytest-xdist already runs a process on each core.
test: .venv/installed-$(EXTRAS)
	OPENBLAS_NUM_THREADS=1 MINILLM_THREADS=1 $(BIN)/python -m pytest -n auto $(ARGS)

# The chapters in JupyterLab; its root is the clone, so that links into the library work.
book: .venv/installed-notebooks
	$(BIN)/python -m jupyterlab --ServerApp.root_dir=. notebooks/00_start_here.ipynb $(ARGS)

# The documentation site: build/docs/site/index.html
docs: .venv/installed-docs
	$(BIN)/python notebooks/execute.py 0 1 zh/ solutions/
	$(BIN)/python -m docs.website

lint: .venv/installed-$(LINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Installing compiles the kernels; pip would hide that it couldn't, so the last line says which kernels run.
SOURCES := pyproject.toml CMakeLists.txt $(wildcard csrc/cpu/*.?pp csrc/cpu/*/*.?pp csrc/cpu/*/*/*.?pp)

.venv/installed-%: $(SOURCES)
	@echo "installing into .venv and compiling the kernels: some minutes, once"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	@$(BIN)/python -m minillm.kernels
	@touch $@

# The kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer, then ThreadSanitizer (half an hour); and
# those of the GPU's kernels, which run on the CPU (EXTRAS=test,cudasim).
sanitize:
	csrc/sanitize.sh address,undefined -n auto
	csrc/sanitize.sh thread -n auto
	csrc/cuda/sanitize.sh

clean:
	rm -rf .venv build *.egg-info
