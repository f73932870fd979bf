# Everything a person types. `demo` and `test` each set up all they need by themselves.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install demo test test-long bench lint clean

# Idle OpenMP threads sleep: spinning ones stall when cores are shared.
export OMP_WAIT_POLICY := PASSIVE
BIN := .venv/bin

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' \
	  | while IFS=$$'\t' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

install: ## .venv with everything; PYTHON=python3.12 chooses the interpreter
	@scripts/setup.sh

demo: install ## the main job on generated clips, into build/demo; a run to serve, into runs/demo
	$(BIN)/reeltag demo --dir build/demo
	@mkdir -p runs && cp -rT --remove-destination build/demo/runs/reeltag runs/demo
	@echo "Serve it: $(BIN)/reeltag serve runs/demo"

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## lint, then every test that takes seconds
	$(BIN)/pytest -m "not long"

test-long: lint ## lint, then all tests, those that take minutes too
	$(BIN)/pytest

bench: install ## the timed figures, into build/bench.json
	$(BIN)/python -m benchmarks

clean: ## remove what was made here, except .venv, runs and reports
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
