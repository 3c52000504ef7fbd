"""`python -m atmdepot`."""

from atmdepot.cli import main

main()
