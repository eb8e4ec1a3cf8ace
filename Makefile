# make run    the dialer; with nothing configured also a sandbox and sample campaigns
# make test   lint, types and all tests
# make bench  all benchmarks, about 45 minutes; make bench BENCH=throughput   one of them
# make chaos  the chaos run, long; CHAOS='--seed 2 --contacts 5000 --faults 50' for another, --help for what there is
# make venv   the set-up alone
# PYTHON=python3.12 make venv   with another interpreter, 3.11 to 3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
RIVALS := build/rivals/.complete

.PHONY: run test lint types bench rivals chaos venv clean

run: $(STAMP)
	$(BIN)/twistd -n --pidfile= dialer

# Two at a time: most tests of the service wait for something most of the time.
test: lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP) $(RIVALS)
	$(BIN)/python -m tests.bench $(BENCH)

chaos: $(STAMP)
	$(BIN)/python -m tests.chaos $(CHAOS)

venv: $(STAMP)

# A folder made for another Python, or half-way, is made anew.
$(STAMP): setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	    { echo "The dialer needs Python 3.11 to 3.13; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "On Debian the venv module is a package of its own: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' --config-settings editable_mode=compat
	touch $@

# What the benchmarks hold the dialer beside, in a folder of its own: it needs other versions of what the dialer needs.
$(RIVALS): $(STAMP) tests/bench/rivals/requirements.txt
	rm -rf $(@D)
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/bench/rivals/requirements.txt
	touch $@

rivals: $(RIVALS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
