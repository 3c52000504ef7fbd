# make demo       see real HTTP requests go through a depot as ATM cells, and come back
# make test       everything that CI does: all tests, with the compiled data path and with the plain one
# make sanitize   the unit tests, and ten minutes of random octets, with AddressSanitizer and UBSan in the compiled code
# make bench      the depot beside kernel forwarding, DNAT, HAProxy and nginx, in less than ten minutes
#
# Each sets up what it needs (testbed/setup.sh) in .venv; run it as root for system packages and namespaces.

.PHONY: demo test sanitize bench clean

demo:
	@./testbed/setup.sh demo
	@.venv/bin/atmdepot demo

test:
	@./testbed/setup.sh test
	.venv/bin/ruff check atmdepot tests testbed
	.venv/bin/mypy
	.venv/bin/pytest -n 2 -m "not namespaces and not docker"
	.venv/bin/pytest -m "namespaces or docker"
	ATMDEPOT_PURE=1 .venv/bin/pytest -n 2 -m "not namespaces and not docker"
	ATMDEPOT_PURE=1 .venv/bin/pytest -m "namespaces and not docker"

sanitize:
	@./testbed/setup.sh test
	@./testbed/sanitize.sh

bench:
	@./testbed/setup.sh bench
	@.venv/bin/atmdepot bench peers --quick

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
