"""Tables of nftables as parts of a host's set-up, made and removed by the program `nft`."""

from __future__ import annotations

import errno
import subprocess

from atmdepot.errors import EnvironmentLacks

WHAT = "nft"
"""The kind of such a part (`Part.what`)."""
SHORT = 1.0
"""Seconds for nft while packets wait: it takes milliseconds."""
_PATIENCE = 10.0


def add(*, name: str, rules: str) -> bool:
    """Make a table of the family `netdev` by the input of nft; False when it is there already.

    Raises EnvironmentLacks when there is no nft, OSError with its words when it refuses or does not end.
    """
    if not _run("list", "table", "netdev", name):
        return False
    replace(name=name, rules=rules)
    return True


def replace(*, name: str, rules: str, patience: float = _PATIENCE) -> None:
    """Make a table, at once in place of one that is there; raise as `add` does."""
    del name  # the rules have it
    if trouble := _run("-f", "-", told=rules, patience=patience):
        raise OSError(0, f"nft: {trouble}")


def remove(*, name: str, rules: str) -> None:
    """Remove a table, if it is there."""
    del rules
    _run("delete", "table", "netdev", name)


def _run(*arguments: str, told: str = "", patience: float = _PATIENCE) -> str:
    """Run nft; return its complaint, empty when it succeeded. One that does not end within `patience` (s) is killed."""
    try:
        done = subprocess.run(["nft", *arguments], input=told, capture_output=True, text=True, check=False,
                              timeout=patience)
    except FileNotFoundError:
        raise EnvironmentLacks("servers on Ethernet need nft, which keeps the kernel from forwarding their answers a "
                               "second time: apt-get install nftables") from None
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, f"nft: it did not end within {patience:g} s") from None
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[0] if done.stderr.strip() else "it failed"
