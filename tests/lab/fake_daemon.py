"""Stands in for the daemons: `fake_daemon.py MODE KIND TABLE --node NAME`."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    mode, role = sys.argv[1], sys.argv[2]
    sys.stderr.write(f"{role} of {os.environ['ATMDEPOT_RUN_DIR']}\n")
    if mode == "mute" and role == "edge":
        signal.pause()
    if mode == "lacking":
        sys.stderr.write("there is no TUN here\n")
        sys.exit(5)
    if mode == "failing":
        sys.stderr.write("something broke\n")
        sys.exit(1)
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    while True:
        signal.pause()


main()
