# `make help` lists what there is. The two that everybody needs: `make run` and `make test`.
PYTHON ?= python3
TORCH  ?=# cpu: the small build of PyTorch without CUDA, from the index that torch keeps for it
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
UV     := $(shell command -v uv || echo $(BIN)/uv)
WORKERS := 2
GROUPS := --group dev --group site --group browser --group lightning
export JUPYTER_PREFER_ENV_PATH := 1

.DEFAULT_GOAL := help
.PHONY: help run test test-all lint types unit nbval lab notebooks bench measured costs links release site slides labs grade rehearse colab-check lock hooks clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## run every notebook on the mini profile into build/, show a table, and build the site
	@$(BIN)/python -m tools run

test: lint types unit nbval ## everything that CI runs: linters, types, unit tests, notebooks

test-all: lint types nbval ## what belongs to the night, too: no diff on a second run, stress scripts, every page, all seeds
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -q --all tests

lint: $(READY) ## ruff on package, tools, tests and notebooks; import-linter on the floors of the house
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-logo

types: $(READY) ## the type checker on package and tools
	$(BIN)/basedpyright --pythonpath $(BIN)/python --level error

unit: $(READY) ## unit tests and the rules for notebooks
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -q tests

nbval: $(READY) ## run every notebook and compare its checked cells
	COURSEKIT_STRICT=1 TQDM_DISABLE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=300 \
	    -n $(WORKERS) --dist loadfile -q -W default notebooks

lab: $(READY) ## open JupyterLab
	$(BIN)/jupyter lab notebooks

notebooks: $(READY) ## (authors) run the notebooks in place; a second run changes nothing
	$(BIN)/python -m tools notebooks

bench: $(READY) ## run the benchmarks that need no other data
	@for name in correlation critters folders fit features growth course grading; do echo "== $$name"; OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/$$name.py || exit 1; done
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/transfer.py --critters --network resnet18 --seeds 5 --sizes 200 --check

measured: $(READY) ## run benchmarks, write docs/measured.md; CIFAR=folder and PHOTOS=folder add those on photos
	$(BIN)/python -m tools measured $(if $(CIFAR),--cifar $(CIFAR)) $(if $(PHOTOS),--photos $(PHOTOS))

costs: $(READY) ## (authors) measure seconds and memory of each notebook, and write them down
	$(BIN)/python -m tools costs

links: ## (forks) find the repository's address, and write it into every notebook, lab and the README: seconds
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c "import nbformat, yaml" 2>/dev/null || $(BIN)/python -m pip install --quiet nbformat pyyaml
	@$(BIN)/python -m tools links

release: $(READY) ## (authors) build the package's wheel into dist/ and check it
	@$(BIN)/python -m tools release

site: $(READY) ## build the site, slides included, from the notebooks as they stand
	@$(BIN)/python -m tools site

slides: $(READY) ## make only the decks of slides, one per notebook
	@$(BIN)/python -m tools slides

labs: $(READY) ## make the labs' copies for teachers and Gradescope archives, and prove them
	@OMP_NUM_THREADS=1 $(BIN)/python -m tools labs

grade: $(READY) ## grade a folder of submissions: make grade SUBMISSIONS=folder LAB=lab01
	@$(if $(and $(SUBMISSIONS),$(LAB)),,$(error say what to grade: make grade SUBMISSIONS=folder LAB=lab01))
	@OMP_NUM_THREADS=1 $(BIN)/python -m tools grade "$(SUBMISSIONS)" $(LAB) $(if $(ROSTER),--roster "$(ROSTER)") \
	    $(if $(MARKS),--marks "$(MARKS)") $(if $(DEADLINE),--deadline "$(DEADLINE)") $(if $(COUNT),--count $(COUNT))

rehearse: $(READY) ## run every notebook on the full profile with small files of the right form: no network, no GPU
	@$(BIN)/python -m tests.rehearse

colab-check: $(READY) ## run every notebook with Colab's versions, from a wheel: once more 6 GB
	@$(BIN)/python -m tests.colab_check

lock: $(READY) ## (authors) write down the newest versions of all requirements as the tested ones, for every system
	$(UV) pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-annotate --extra lab $(GROUPS) pyproject.toml -o requirements.lock

hooks: $(READY) ## (authors) check each commit: ruff, and the notebooks' metadata
	$(BIN)/pre-commit install

clean: ## remove what was built, keep the installation
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# The stamp is written last: an installation that was interrupted starts again. The lock holds for CPython on Linux,
# macOS and Windows, with a checksum for each file; the build of torch for the CPU has others, so they are not asked for.
$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into $(VENV): about $(if $(TORCH),2,6) GB with PyTorch, two minutes and more. This happens once."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x "$(UV)" || $(BIN)/python -m pip install --quiet uv
ifeq ($(TORCH),)
	@$(UV) pip install --quiet --python $(BIN)/python --requirement requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
else
	@$(UV) pip install --quiet --python $(BIN)/python --torch-backend $(TORCH) --no-verify-hashes \
	    --constraint requirements.lock --editable ".[lab]" $(GROUPS)
endif
	@touch $@
