# Each recipe is a line that also works by itself; README.md gives them for Windows.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
FRAMEWORK := fastapi
export UV_PYTHON_DOWNLOADS := never

.PHONY: help demo test test-matrix test-long lint

help: ## What there is to make
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

.uv/bin/uv:
	python3 -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv

demo: | $(UV) ## A project with default answers in var/demo/, running (FRAMEWORK=fastapi)
	@$(UV) run --quiet python demo.py $(FRAMEWORK)
	@exec $(MAKE) --no-print-directory -C var/demo/$(FRAMEWORK)/acme-chat dev UV="$(abspath $(UV))"

test: lint ## All that must hold
	$(UV) run pytest -n 2 --dist loadgroup -m "not long and not matrix"

test-matrix: | $(UV) ## Whole projects with every pair of answers, on Python 3.11, 3.12 and 3.13
	$(UV) run pytest -v -n 4 --dist loadgroup -m matrix

test-long: lint ## All of it, with every combination of answers and hundreds of awkward ones
	$(UV) run pytest -n 2 --dist loadgroup

lint: | $(UV) ## Format, lint and types of the template's own code
	$(UV) run ruff check
	$(UV) run ruff format --check
	$(UV) run mypy
