"""The journal of a run of `bench failover`: a line for each failure, so that a run that ended goes on where it was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atmdepot.bench.failover.judging import Reading, SyncReading  # noqa: TC001 - msgspec reads them at run time
from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError
from atmdepot.paths import read_file

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
"""Of the lines; a journal of another number is refused."""
_GREATEST = 2**28


class Entry(Struct, omit_defaults=True):
    """A failure of a case and what the client saw of it, a round of costs (figures by mode), or a full sync.

    The first line has the format and the program's version.
    """

    case: str = ""
    reading: Reading | None = None
    costs: dict[str, dict[str, float]] | None = None
    sync: SyncReading | None = None
    format: int = 0
    version: str = ""


def remove(path: Path) -> None:
    """Remove a journal of any version; raise AtmdepotError for any other file, which stays."""
    try:
        octets = read_file(path, "journal", _GREATEST)
    except FileNotFoundError:
        return
    except OSError as error:
        raise AtmdepotError(f"{path} cannot be read: {error.strerror}") from None
    try:
        is_journal = not octets or msgspec.json.decode(octets.partition(b"\n")[0], type=Entry).format > 0
    except NOT_DECODED:
        is_journal = False
    if not is_journal:
        raise AtmdepotError(f"{path}: this is no journal, so it stays; name another file")
    path.unlink()


class Journal:
    """The file, and what stands in it."""

    def __init__(self, path: Path, version: str, *, only_read: bool = False) -> None:
        """Read a journal, or begin one; with `only_read` the file stays as it is: another run may write it now.

        Raises:
            AtmdepotError: the file is no journal, or one of another version, or cannot be written.

        """
        self._path = path
        self.readings: dict[str, list[Reading]] = {}
        self.syncs: list[SyncReading] = []
        self.costs: list[dict[str, dict[str, float]]] = []
        try:
            octets = read_file(path, "journal", _GREATEST) if path.exists() else b""
        except OSError as error:
            raise AtmdepotError(f"{path} cannot be read: {error.strerror}") from None
        whole, _, part = octets.rpartition(b"\n")
        head = Entry(format=FORMAT, version=version)
        if whole:
            self._read(whole, version)
        elif not msgspec.json.encode(head).startswith(part):
            raise AtmdepotError(f"{path}: this is no journal; name another file")
        if only_read:
            return
        try:
            with path.open("ab") as file:
                file.truncate(len(octets) - len(part) if whole else 0)  # a line that was cut off when the run ended
        except OSError as error:
            raise AtmdepotError(f"{path} cannot be written: {error.strerror}") from None
        if not whole:
            self._write(head)

    def _read(self, octets: bytes, version: str) -> None:
        for number, line in enumerate(octets.split(b"\n"), start=1):
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except NOT_DECODED as error:
                way = "name another file" + ("" if number == 1 else ", or begin anew with --anew")
                raise AtmdepotError(f"{self._path}, line {number}: this is no line of a journal ({error}); "
                                    f"{way}") from None
            if number == 1 and (entry.format, entry.version) != (FORMAT, version):
                raise AtmdepotError(f"{self._path}: a journal of version {entry.version or 'unknown'}, and this is "
                                    f"{version}: figures of both do not belong together; begin anew with --anew")
            if entry.reading is not None:
                self.readings.setdefault(entry.case, []).append(entry.reading)
            if entry.costs is not None:
                self.costs.append(entry.costs)
            if entry.sync is not None:
                self.syncs.append(entry.sync)

    def add_sync(self, reading: SyncReading) -> None:
        """Note a full sync."""
        self._write(Entry(sync=reading))
        self.syncs.append(reading)

    def add_costs(self, taken: dict[str, dict[str, float]]) -> None:
        """Note a round of costs: figures by mode."""
        self._write(Entry(costs=taken))
        self.costs.append(taken)

    def add(self, case: str, reading: Reading) -> None:
        """Note a failure."""
        self._write(Entry(case=case, reading=reading))
        self.readings.setdefault(case, []).append(reading)

    def _write(self, entry: Entry) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def done(self, case: str) -> int:
        """The count of failures of a case in it."""
        return len(self.readings.get(case, ()))

    @property
    def counts(self) -> dict[str, int]:
        """The same for all cases."""
        return {case: len(readings) for case, readings in self.readings.items()}
