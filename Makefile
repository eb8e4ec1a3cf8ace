# make run    the dialer; with nothing configured also a sandbox and sample campaigns
# make test   lint, types and all tests
# make bench  all benchmarks, about 45 minutes; make bench BENCH=throughput   one of them
# make chaos  the chaos run, long; CHAOS='--seed 2 --contacts 5000 --faults 50' for another, --help for what there is
# make fuzz   hostile input for about ten minutes, another each time; FUZZ_SEED=7 make fuzz for that of a run before
# make venv   the set-up alone
# make lock   the versions and hashes that the container installs, anew: the newest that setup.py allows
# make audit  looks the locked versions up among the known vulnerabilities
# make licences   the table in docs/licences.md, anew
# PYTHON=python3.12 make venv   with another interpreter, 3.11 to 3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
RIVALS := build/rivals/.complete
SUPPLY := build/supply/.complete
SUPPLY_TOOLS := 'pip-tools>=7.6,<8' 'pip-audit>=2.10,<3'

.PHONY: run test lint types bench rivals chaos fuzz venv lock audit licences clean

run: $(STAMP)
	$(BIN)/twistd -n --pidfile= dialer

# Four at a time, also on two cores: most tests of the service wait for something most of the time.
test: lint types
	$(BIN)/python -m pytest -n 4 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP) $(RIVALS)
	$(BIN)/python -m tests.bench $(BENCH)

chaos: $(STAMP)
	$(BIN)/python -m tests.chaos $(CHAOS)

# A seed for each run, told so that it can be run again.
FUZZ_SEED ?= $(shell od -An -N2 -tu2 /dev/urandom | tr -d ' ')

fuzz: $(STAMP)
	FUZZ_EXAMPLES=100 FUZZ_SEED=$(FUZZ_SEED) $(BIN)/python -m pytest --hypothesis-profile=explore \
	    --hypothesis-seed=$(FUZZ_SEED) tests/hostile tests/test_originate.py tests/test_outcome.py tests/esl/test_wire.py \
	    tests/web/test_schema_properties.py tests/web/test_openapi_properties.py

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

# Where this machine gets its packages from stays out of the files: others get them elsewhere.
COMPILE = CUSTOM_COMPILE_COMMAND='make lock' $(<D)/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras \
    --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: $(SUPPLY)
	$(COMPILE) --output-file requirements.lock setup.py
	$(COMPILE) --only-build-deps --build-deps-for wheel --output-file requirements-build.lock setup.py

# Strict: what cannot be looked up is an error, not a pass.
audit: $(SUPPLY)
	$(<D)/bin/pip-audit --strict --disable-pip --requirement requirements.lock
	$(<D)/bin/pip-audit --strict --disable-pip --requirement requirements-build.lock

# The text of the page is kept. A licence that a package does not name is an error.
licences: $(STAMP)
	mkdir -p build
	sed '/^|/d' docs/licences.md > build/licences.md
	$(BIN)/pip-licenses --packages $$(sed -n 's/==.*//p' requirements.lock) --format markdown --no-version \
	    --fail-on UNKNOWN >> build/licences.md
	mv build/licences.md docs/licences.md

# Apart from the dialer's own folder: the tools need other things than it does.
$(SUPPLY): Makefile
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(SUPPLY_TOOLS)
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
