# README.md shows how to run each recipe without make.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
FRAMEWORK := fastapi
export UV_PYTHON_DOWNLOADS := never

.PHONY: help demo test test-matrix test-long size screenshots lint

help: ## Show this help
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

.uv/bin/uv:
	python3 -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv

demo: | $(UV) ## Generate and run a project with default answers in var/demo/ (FRAMEWORK=fastapi)
	@$(UV) run --quiet python demo.py $(FRAMEWORK)
	@exec $(MAKE) --no-print-directory -C var/demo/$(FRAMEWORK)/acme-chat dev DEMO=1 UV="$(abspath $(UV))"

test: lint ## Lint, types and all tests that must pass
	$(UV) run pytest -n 2 --dist loadgroup -m "not long and not matrix"

test-matrix: | $(UV) ## Check projects with every pair of answers, on Python 3.11 to 3.14
	$(UV) run pytest -v -n 4 --dist loadgroup -m matrix

test-long: lint ## Everything, with every combination of answers (hours)
	$(UV) run pytest -n 2 --dist loadgroup

size: | $(UV) ## Lines of code of both generated projects, by package
	@$(UV) run --quiet python -m tests.size

screenshots: | $(UV) ## README's pictures, and all pages of the dashboard in var/screenshots/ (Chromium)
	$(UV) run python -m benchmarks.screenshots --framework $(FRAMEWORK)

lint: | $(UV) ## Lint, format and types of the template's own code
	$(UV) run ruff check
	$(UV) run ruff format --check
	$(UV) run mypy
