# `make help` lists what there is. The two that everybody needs: `make run` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
WORKERS := 2
export JUPYTER_PREFER_ENV_PATH := 1

.DEFAULT_GOAL := help
.PHONY: help run test lint unit nbval lab notebooks bench stress measured costs links picture site slides labs grade new-notebook colab-check constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## run every notebook on the mini profile into build/, show a table, and build the site
	@$(BIN)/python -m tools run

test: lint unit nbval ## everything that CI runs: ruff, unit tests, notebooks

lint: $(READY) ## ruff on package, tests and notebooks
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .

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

stress: $(READY) ## kill, damage, starve and attack the course, and count what it survives
	@for name in kill badimages downloads hostile surroundings together; do echo "== $$name"; $(BIN)/python tests/stress/$$name.py || exit 1; done

measured: $(READY) ## run benchmarks, write docs/measured.md; CIFAR=folder and PHOTOS=folder add those on photos
	$(BIN)/python -m tools measured $(if $(CIFAR),--cifar $(CIFAR)) $(if $(PHOTOS),--photos $(PHOTOS))

costs: $(READY) ## (authors) measure seconds and memory of each notebook, and write them down
	$(BIN)/python -m tools costs

links: $(READY) ## (forks) write the repository's address from pyproject.toml into every notebook and lab
	$(BIN)/python -m tools links

site: $(READY) ## build the site, slides included, from the notebooks as they stand
	@$(BIN)/python -m tools site

slides: $(READY) ## make only the decks of slides, one per notebook
	@$(BIN)/python -m tools slides

labs: $(READY) ## make the labs' copies for students and teachers and their autograders, and prove them
	@OMP_NUM_THREADS=1 $(BIN)/python -m tools labs

grade: $(READY) ## grade a folder of submissions: make grade SUBMISSIONS=folder LAB=lab01
	@$(if $(and $(SUBMISSIONS),$(LAB)),,$(error say what to grade: make grade SUBMISSIONS=folder LAB=lab01))
	@OMP_NUM_THREADS=1 $(BIN)/python -m tools grade "$(SUBMISSIONS)" $(LAB)

new-notebook: $(READY) ## (authors) write a notebook to start from: make new-notebook NAME=07_detection
	@$(BIN)/python -m tools new-notebook $(NAME)

colab-check: $(READY) ## run every notebook with Colab's versions, from a wheel: once more 6 GB
	@$(BIN)/python -m tools colab-check

picture: $(READY) ## (authors) draw the README's picture, and that of the modules
	$(BIN)/python -m tools picture

constraints: $(READY) ## (authors) write down the installed versions as the tested ones
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean: ## remove what was built, keep the installation
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis

# The stamp is written last: an installation that was interrupted starts again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into $(VENV): about 6 GB with PyTorch, two minutes and more. This happens once."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[lab,dev,site,browser,lightning]"
	@touch $@
