# Two targets do all the set-up: `make demo` and `make test`. `make docs` builds the site in docs/build.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= reports/digits

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "torch>=2.9" torchvision
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[test,docs]"
	touch $@

.PHONY: demo test slow lint docs clean
demo: .venv/installed
	$(BIN)/autodistill search search_spaces/digits.yaml --out $(OUT)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest

docs: .venv/installed-test
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/build

slow: .venv/installed-test
	$(BIN)/pytest -m slow

clean:
	rm -rf .venv
