"""Open a session every tenth of a second until standard input ends, a JSON line for each; runs in a client's container.

Each line has the start of the session (the machine's monotonic clock, s) and the server that answered; "" means no
answer in time.
"""

from __future__ import annotations

import json
import select
import sys
import time

from atmdepot.lab.probe import fetch

address, patience = sys.argv[1], float(sys.argv[2])
while not select.select([sys.stdin], [], [], 0.1)[0]:
    began = time.monotonic()
    try:
        server = fetch(address, 80, "server", patience).decode().strip()
    except OSError:
        server = ""
    sys.stdout.write(json.dumps([began, server]) + "\n")
    sys.stdout.flush()
