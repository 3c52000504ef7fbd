"""A journal of the parts that a daemon has added to its host and must take back, even after it is killed.

It lies beside the control socket. It is valid only in the network namespace, and during the boot of the machine, in
which it was written.
"""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import msgspec

from atmdepot.decoding import NOT_DECODED
from atmdepot.paths import read_file

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/net")
_SO_NETNS_COOKIE = 71

log = logging.getLogger("atmdepot")


class Entry(msgspec.Struct, frozen=True):
    """A request that added a part: pyroute2's method and its arguments."""

    what: str
    arguments: dict[str, Any]


class _Pages(msgspec.Struct):
    place: str
    entries: list[Entry]


class Journal:
    """The entries of a journal file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Entry]:
        """The entries that an earlier daemon added here and did not take back."""
        try:
            pages = msgspec.json.decode(read_file(self.path), type=_Pages)
        except FileNotFoundError:
            return []
        except (OSError, *NOT_DECODED) as error:
            why = error.strerror if isinstance(error, OSError) else error
            log.warning("%s: cannot be read, so what a killed daemon left is not known: %s", self.path, why)
            return []
        # The parts of another boot or namespace are gone, or out of reach.
        return pages.entries if pages.place == _place() else []

    def write(self, entries: list[Entry]) -> None:
        """Keep these entries; without entries there is no file."""
        try:
            if not entries:
                self.path.unlink(missing_ok=True)
                return
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = self.path.with_suffix(".new")
            new.write_bytes(msgspec.json.encode(_Pages(_place(), entries)))
            new.replace(self.path)  # in a single step: a daemon that is killed now leaves a whole journal
        except OSError as error:
            log.warning("%s: cannot be written, so a daemon that is killed would leave its routes behind: %s",
                        self.path, error.strerror)


def _place() -> str:
    """The identity of this boot of the machine and of this network namespace."""
    try:
        boot = _BOOT.read_text().strip()
    except OSError:
        boot = ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            cookie = int.from_bytes(any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
        except OSError:  # before Linux 5.14
            cookie = _NAMESPACE.stat().st_ino
    return f"{boot} {cookie}"
