# `make demo` and `make test` do all the set-up: a virtual environment in .venv, the native core, the tested versions.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check -q
PY := $(VENV)/bin/python
NATIVE := CMakeLists.txt $(wildcard native/*.?pp native/*.txt)

.PHONY: demo test test-all lint format bench clean

demo: $(VENV)/installed
	$(PY) examples/demo.py

test: $(VENV)/installed
	$(PY) -m pytest -n auto -m "not slow" $(ARGS)

test-all: $(VENV)/installed
	$(PY) -m pytest -n auto $(ARGS)

lint: $(VENV)/linted
	$(VENV)/bin/ruff check .
	$(VENV)/bin/clang-format --dry-run --Werror $(wildcard native/*.?pp)
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pyright

format: $(VENV)/linted
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/clang-format -i $(wildcard native/*.?pp)

bench: $(VENV)/benched
	$(PY) benchmarks/planar.py
	$(PY) benchmarks/vertex.py
	$(PY) benchmarks/search.py --affinitree
	$(PY) benchmarks/milp.py
	$(PY) benchmarks/unwrap.py
	$(PY) benchmarks/bounds.py
	$(PY) benchmarks/eva.py

$(VENV)/installed: pyproject.toml constraints.txt $(NATIVE)
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e ".[all,test]"
	touch $@

$(VENV)/linted: $(VENV)/installed
	$(PIP) install -c constraints.txt -e ".[lint]"
	touch $@

$(VENV)/benched: $(VENV)/installed
	$(PIP) install -c constraints.txt -e ".[bench]"
	touch $@

clean:
	rm -rf $(VENV) build dist out .pytest_cache .ruff_cache .hypothesis
