# Everything a person or CI does here. `make help` explains.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# The stamp: an unchanged lock file and pyproject.toml install nothing again.
.venv/installed: requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

install: .venv/installed ## the command at .venv/bin/pullproof, with everything that tests need

demo: install ## a developer's `kubectl apply`, warned and denied by a real API server (DEMO_KEEP=1: leave it up)
	@$(BIN)/python samples/demo.py

run: install ## a throw-away control plane with pullproof in it, until Ctrl-C
	@DEMO_KEEP=1 $(BIN)/python samples/demo.py

test: install ## all tests, against real parts
	$(BIN)/python -m pytest

test-install: install ## pullproof installed on two real nodes as docs/operations.md says, then upgrades, rotations and failures under load
	$(BIN)/python -m pytest tests/installation/installation.py

check: install ## what CI asks besides the tests: lint, types, layers, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-cache
	$(BIN)/python docs/generate.py --check

truth: install ## pullproof's word against a real kubelet (SEED=n: other random scenarios), as root; docs/truth.md
	$(BIN)/python tests/node/truth.py

bench: install ## what pullproof adds to a request, beside a Go no-op and a bare Flask app; its part of docs/performance.md
	$(BIN)/python bench/webhooks.py

bench-scale: install ## beside 10,000 pull Secrets and beside 10: start, memory, reviews; its part of docs/performance.md
	$(BIN)/python bench/scale.py

bench-policies: install ## reviews where 1,000 policies are for the namespace, beside one; its part of docs/performance.md
	$(BIN)/python bench/policies.py

bench-scan: install ## `pullproof scan` and `diagnose -A` over 10,000 pods on a real API server; its part of docs/performance.md
	$(BIN)/python bench/scan.py

screenshot: install ## docs/scan.png: the page of a scan, in a real Chromium
	$(BIN)/python docs/screenshot.py

docs: install ## the generated pages: docs/checks/, and the screens in README.md
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/readme.py --write

lock: install ## pin the newest versions that pyproject.toml allows, with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml --group dev -o requirements/dev.txt
	echo pip | $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 - -o requirements/image.txt

# The base image's Python and machine; `WHEELS` is the folder that they go to.
WHEELS ?= wheels
WHEELS_PYTHON ?= 3.13
WHEELS_MACHINE ?= $(shell uname -m)
wheels: install ## what the image is made from, fetched by hash: wheels/ (WHEELS_PYTHON=3.11 for a base with that Python)
	rm -rf $(WHEELS) && mkdir -p $(WHEELS)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all: \
	  --implementation cp --python-version $(WHEELS_PYTHON) --abi cp$(subst .,,$(WHEELS_PYTHON)) --abi abi3 --abi none \
	  --platform manylinux_2_28_$(WHEELS_MACHINE) --platform manylinux_2_17_$(WHEELS_MACHINE) \
	  -r requirements/run.txt -r requirements/image.txt -d $(WHEELS)
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w $(WHEELS) .

IMAGE ?= registry.example.com/pullproof:0.1.0
ENGINE ?= docker
image: wheels ## the image, by ENGINE (docker, podman, buildah) under the name IMAGE
	$(ENGINE) build -f Dockerfile -t $(IMAGE) .

clean: ## remove what `make` made here (the cache of built programs stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help install demo run test test-install check truth bench bench-scale bench-policies docs lock wheels image clean
