# make demo       see real HTTP requests go through a depot as ATM cells, and come back
# make test       the tests for each push: all but the slow ones; those of the data path once more in plain Python
# make test-slow  the slow ones; with `make test` they are everything that CI does
# make test-night the properties, with ten times as many examples (ATMDEPOT_TEST_EFFORT)
# make sanitize   the unit tests, and ten minutes of random octets, with AddressSanitizer and UBSan in the compiled code
# make docs       the pages as a site with search, in docs/_build
# make deb        a Debian package with the Python packages that it needs, in dist
# make bench      the depot beside kernel forwarding, DNAT, HAProxy and nginx, in less than ten minutes
#
# Each sets up what it needs (testbed/setup.sh) in .venv; run it as root for system packages and namespaces.

.PHONY: demo test test-slow test-night sanitize docs deb bench clean

# Where it is set, each worker and each daemon would compile all Python anew.
unexport PYTHONDONTWRITEBYTECODE

PYTEST = .venv/bin/pytest --durations=5
# The files that a run has tests of: to collect the other 12,000 tests takes each worker ten seconds.
MARKED = $(sort $(shell grep -rl --include='test_*.py' 'mark\.$(1)' tests))
# Everything that is compiled, so that its plain twin has to be tested as well, and three labs that carry packets by it.
DATA_PATH = $(wildcard $(addprefix tests/,wire atm bearer node depot edge switch net))
PLAIN_LABS = $(addprefix tests/end_to_end/,test_direct.py test_untouched.py test_bad_input.py)
UNIT = not namespaces and not docker and not slow

demo:
	@./testbed/setup.sh demo .venv/bin/atmdepot demo

# A lab mostly waits, so three at a time fit on two cores; each file's tests share their lab, so they stay together.
test:
	@./testbed/setup.sh test
	.venv/bin/ruff check atmdepot tests testbed
	.venv/bin/mypy
	$(PYTEST) -n 2 -m "$(UNIT)"
	$(PYTEST) -n 3 --dist loadfile -m "namespaces and not slow" $(call MARKED,namespaces)
	ATMDEPOT_PURE=1 $(PYTEST) -n 2 -m "$(UNIT) and not both_twins" $(DATA_PATH)
	ATMDEPOT_PURE=1 $(PYTEST) -n 3 --dist loadfile -m "namespaces and not slow" $(PLAIN_LABS)

test-slow:
	@./testbed/setup.sh test
	$(PYTEST) -m slow $(call MARKED,slow)

test-night:
	@./testbed/setup.sh test
	ATMDEPOT_TEST_EFFORT=$${ATMDEPOT_TEST_EFFORT:-10} $(PYTEST) -n 2 -m "$(UNIT)"

sanitize:
	@./testbed/setup.sh test
	@./testbed/sanitize.sh

docs:
	@./testbed/setup.sh test
	.venv/bin/sphinx-build -q -W --keep-going -b html docs docs/_build

deb:
	@./testbed/setup.sh test
	@./packaging/debian.sh

bench:
	@./testbed/setup.sh bench
	@.venv/bin/atmdepot bench peers --quick

clean:
	rm -rf .venv build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find atmdepot docs packaging testbed tests -name '*.so' -delete
	find atmdepot docs packaging testbed tests -name __pycache__ -prune -exec rm -rf {} +
