"""The end of a command that has labs."""

from __future__ import annotations

import signal
import sys

_TERMINATED = 128 + signal.SIGTERM


def end_on_sigterm() -> None:
    """Have SIGTERM end this process by SystemExit, so that its labs are taken down and what it has is kept."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
