# make quickstart   install into .venv and run the whole chain on the pocket world, offline
# make test         lint, types and the test suite
# make towers       train the pocket world's two towers from nothing
# make results      measure again every table in adapters/README.md and benchmarks/README.md (needs ../shared)
# make parity       renew what clip-benchmark, mteb and sentence-transformers say about the shared vectors, and compare
# make results-check  list the results that are older than their inputs, code or recipes

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
FAISS  := $(shell command -v nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)

.DEFAULT_GOAL := help
.PHONY: help install quickstart test lint types pytest towers results parity results-check clean

help:
	@sed -n 's/^# make/make/p' Makefile

install: $(VENV)/installed-$(FAISS)

$(VENV)/installed-$(FAISS): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mella-retrieval needs Python 3.11 or newer; name one: make quickstart PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "could not make $(VENV); on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[$(FAISS),dev]"
	@touch $@

quickstart: install
	$(BIN)/mella quickstart

test: lint types pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# A test file stays in one process; one thread each, since processes share the cores.
pytest: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

towers: install
	$(BIN)/python -m mella_retrieval.pocket.train_towers

results: install
	$(BIN)/python benchmarks/studies/test_bed.py
	$(BIN)/python benchmarks/studies/design.py
	$(BIN)/python benchmarks/studies/scoring.py
	$(BIN)/python benchmarks/studies/served_scoring.py
	$(BIN)/python benchmarks/studies/pocket_sources.py
	$(BIN)/python benchmarks/studies/old_vectors.py
	bash benchmarks/studies/photos.sh
	$(BIN)/python benchmarks/studies/emoji.py
	$(BIN)/python benchmarks/studies/emoji_keywords.py
	$(BIN)/python benchmarks/studies/pocket_classes.py
	$(BIN)/python benchmarks/studies/leccr.py
	$(BIN)/python benchmarks/studies/xm3600_captions.py
	$(BIN)/python benchmarks/studies/collecting.py
	$(BIN)/python benchmarks/studies/language_id.py
	$(BIN)/python benchmarks/studies/ling_checks.py
	$(BIN)/python benchmarks/studies/keyword_accuracy.py
	$(BIN)/python benchmarks/studies/mllm.py
	$(BIN)/python benchmarks/studies/mllm_descriptions.py

parity: install
	bash benchmarks/parity/environment.sh
	.venv-peers/bin/python benchmarks/parity/clip_benchmark_peer.py
	.venv-peers/bin/python benchmarks/parity/mteb_peer.py
	.venv-peers/bin/python benchmarks/parity/sentence_transformers_peer.py
	$(BIN)/python benchmarks/parity/check.py

results-check: install
	$(BIN)/python benchmarks/studies/results_check.py

clean:
	rm -rf $(VENV) quickstart
