"""The directories in which running networks keep their sockets, logs and state."""

from __future__ import annotations

import os
from pathlib import Path


def run_dir() -> Path:
    """The directory of all running networks: ATMDEPOT_RUN_DIR, else the system's (root) or the user's."""
    if chosen := os.environ.get("ATMDEPOT_RUN_DIR"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/run/atmdepot")
    if user := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(user) / "atmdepot"
    return Path(f"/tmp/atmdepot-{os.geteuid()}")  # with the user's id, so that users do not share it


def control_socket(network: str, node: str) -> Path:
    """The control socket of a node's daemon."""
    return run_dir() / network / f"{node}.sock"
