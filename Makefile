# Needs GNU make and Python 3.11 or newer, nothing else: no compiler, no git. Every target makes its own .venv first.
#   make demo PYTHON=python3.13     uses another Python
#   make demo VENV=/tmp/msc         puts the virtual environment elsewhere

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: demo test test-slow lint bench sbc notebooks lock clean help

demo: $(INSTALLED)  ## fit, simulate and score the shipped data; writes demo-report/report.html (about 3 minutes)
	@$(BIN)/mscpkpd demo --out demo-report

test: $(INSTALLED)  ## the test suite without the slow tests, with coverage
	@$(BIN)/python -m pytest -n 2 --cov --cov-report=term-missing:skip-covered

test-slow: $(INSTALLED)  ## the tests that sample or repeat studies many times
	@$(BIN)/python -m pytest -n 2 -m slow

lint: $(INSTALLED)  ## ruff (rules and format) and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict src

bench: $(VENV)-bench/.installed  ## every script in benchmarks/, with the peers, then docs/benchmarks.md (about 25 minutes)
	@failed=0; for script in benchmarks/[!_]*.py; do $(VENV)-bench/bin/python $$script || failed=1; done; \
	$(VENV)-bench/bin/python benchmarks/_table.py && exit $$failed

sbc: $(INSTALLED)  ## are posteriors right? simulate and fit the plans in calibration/; goes on where it stopped (1 to 2 hours)
	@$(BIN)/python scripts/sbc.py

$(VENV)-bench/.installed: pyproject.toml constraints.txt benchmarks/requirements.txt
	@$(call check_python)
	@echo "Making $(VENV)-bench with mscpkpd and its peers (a few minutes) ..."
	@$(PYTHON) -m venv $(VENV)-bench
	@$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@sed '/^setuptools/d' constraints.txt > $(VENV)-bench/constraints.txt
	@sed 's/#.*//; /^ *$$/d' benchmarks/requirements.txt | while read -r peer; do \
		$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check -c $(VENV)-bench/constraints.txt "$$peer" \
		|| echo "Not installed, and skipped: $$peer"; done
	@: > $(VENV)-bench/.installed

notebooks: $(INSTALLED)  ## run the notebooks in place and keep their outputs
	@$(BIN)/jupyter-execute --inplace notebooks/*.ipynb

lock:  ## resolve the newest versions into constraints.txt, for all supported Pythons at once
	@$(call check_python)
	@echo "Resolving constraints.txt ..."
	@$(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --upgrade \
		--custom-compile-command "make lock" --output-file constraints.txt pyproject.toml

clean:  ## remove the virtual environments, caches and build products
	@rm -rf $(VENV) $(VENV)-lock build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@echo "Removed $(VENV) and caches"

help:  ## this list
	@echo "Targets (PYTHON=$(PYTHON), VENV=$(VENV)):"
	@$(PYTHON) -c "import re; [print(f'  {n:10} {t}') for n, t in re.findall(r'(?m)^([a-z-]+):.*?## (.*)', open('Makefile').read())]"

# One line instead of a traceback where Python is missing, too old, or comes without venv (Debian and Ubuntu split it off).
define check_python
command -v $(PYTHON) >/dev/null 2>&1 \
	|| { echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one with make PYTHON=..." >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "$$($(PYTHON) --version 2>&1) is too old: Python 3.11 or newer is needed, name one with make PYTHON=python3.11" >&2; exit 1; }; \
$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	|| { echo "The venv module of $(PYTHON) is missing: install it with 'apt install python3-venv' (Debian, Ubuntu)" >&2; exit 1; }
endef

$(INSTALLED): pyproject.toml constraints.txt
	@$(call check_python)
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing mscpkpd with the versions of constraints.txt (a few minutes, 1.5 GB on disk) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@: > $(INSTALLED)
	@echo "Installed into $(VENV)"
