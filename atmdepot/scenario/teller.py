"""Tell what a node's daemon shows, in its container: `python -m atmdepot.scenario.teller NETWORK NODE`.

For each line of its standard input, a subject, it writes a line of JSON: the rows, none while the daemon is silent. A
process for each look would take longer than the look.
"""

from __future__ import annotations

import sys

import msgspec

from atmdepot.paths import control_socket
from atmdepot.scenario.shown import rows_of


def main() -> None:
    """Tell until the standard input ends."""
    network, node = sys.argv[1:]
    for subject in sys.stdin:
        sys.stdout.buffer.write(msgspec.json.encode(rows_of(control_socket(network, node), subject.strip())) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
