"""Become a command in a network namespace of its own: `python -m tests.end_to_end.own_namespace CMD...`.

Root needs nothing else; an ordinary user gets a user namespace as well. The loopback interface is up.
"""

from __future__ import annotations

import os
import sys

from pyroute2 import IPRoute

from atmdepot.lab import namespaces

if __name__ == "__main__":
    if os.geteuid() != 0:
        namespaces.enter_new_user_namespace()
    namespaces.unshare(namespaces.CLONE_NEWNET)
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
    os.execvp(sys.argv[1], sys.argv[1:])
