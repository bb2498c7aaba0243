# Every command that a person or CI needs. `make` alone lists them.
# Extras of pyproject.toml to install: `make setup EXTRAS=gpu,dev` for FAISS on a GPU.

.DEFAULT_GOAL := help
.PHONY: help setup demo loop test check fix bench lock clean

EXTRAS ?= cpu,dev
TESTED := $(EXTRAS),sglang-cpu
PYTEST_ARGS ?=
# Tests run in so many processes, a file in one of them; each starts the servers that it needs.
TEST_JOBS ?= 2
BENCHMARKS ?= decode compression "accuracy --work longwatch-bench" "ingest --work longwatch-bench" "live --work longwatch-bench" bus "latency --work longwatch-bench" "alert_latency --work longwatch-bench" "rule_test --work longwatch-bench" "cameras --work longwatch-bench" "scaling --work longwatch-bench" archive serving report
BIN := .venv/bin
PACKAGES := streaming memory models services tests benchmarks

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: ## Install everything into .venv (the commands below do so by themselves)
	@EXTRAS=$(EXTRAS) bash .ci/setup

demo: setup ## Watch half an hour of video, then ask about it
	@$(BIN)/longwatch demo
	@echo "To have the command longwatch in this shell: source .venv/bin/activate"

loop: setup ## Show it something new, label that, train, promote, and ask again
	@$(BIN)/python -m benchmarks.loop

test: ## Run all tests
	@EXTRAS=$(TESTED) bash .ci/setup
	@$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile $(PYTEST_ARGS)

check: ## Lint, format, types and the arrows between the folders
	@EXTRAS=$(TESTED) bash .ci/setup
	@echo "ruff check" && $(BIN)/ruff check $(PACKAGES)
	@echo "ruff format" && $(BIN)/ruff format --check $(PACKAGES)
	@echo "pyright" && PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python
	@echo "import-linter" && $(BIN)/lint-imports

fix: setup ## Format, and repair what can be repaired
	@$(BIN)/ruff check --fix $(PACKAGES)
	@$(BIN)/ruff format $(PACKAGES)

bench: ## Measure, and write benchmarks/results (hours; one alone: BENCHMARKS=decode)
	@EXTRAS=$(EXTRAS),bench bash .ci/setup
	@for each in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$each || exit 1; done

lock: ## Write constraints.txt anew from what .venv holds
	@EXTRAS=$(TESTED) bash .ci/setup
	@$(BIN)/python .ci/lock.py >.venv/constraints.txt
	@mv .venv/constraints.txt constraints.txt

clean: ## Remove .venv and caches (never footage or memory)
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
