"""The destination of a capture: a pipe, a file, or a series of files."""

from __future__ import annotations

import os
import stat
import sys
import time as clocks
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from atmdepot.errors import AtmdepotError
from atmdepot.paths import why_no_place

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_BUFFER = 1 << 16  # octets: few system calls for many small records
_NS = 1_000_000_000


class Rotation(NamedTuple):
    """The rule for beginning a new file: after `max_octets` octets, or `every` ns after the file's first record.

    0 means never. The newest `files` files are kept (0: all).
    """

    max_octets: int = 0
    every: int = 0
    files: int = 0

    def __bool__(self) -> bool:
        """True when there is more than a single file."""
        return bool(self.max_octets or self.every)


class Output:
    """Takes whole records and writes them in large pieces.

    Only `open` makes or empties a file. With a rotation, a file's name gets a number and the UTC time of its first
    record, as dumpcap names them: `cells_00001_20261123054512.pcap`. The first failure raises AtmdepotError; later
    records are discarded. A pipe without a reader raises BrokenPipeError.
    """

    def __init__(self, target: str | Path | BinaryIO, rotation: Rotation = Rotation(), *,  # noqa: B008 - immutable
                 not_over: Collection[str | Path | BinaryIO] = ()) -> None:
        """Write to a path ("-" is standard output) or a binary file, which the caller closes; no file is made yet.

        Raises:
            AtmdepotError: for a terminal, a directory, a path in a missing directory, or a file in `not_over` (the
                files
                being read); for a rotation of a target that is no path.

        """
        self._rotation = rotation
        # Files are compared by inode: another path may lead to the same file.
        self._read = _identities(not_over)
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        if not isinstance(target, str | Path):
            self._file = target
        elif str(target) == "-":
            self._file = _standard_output()
        else:
            self._path = Path(target)
            self._check(self._path)
        if self._file is not None and rotation:
            raise AtmdepotError("only captures in files can be followed by others, by size or time")
        self.name = str(self._path) if self._path else str(getattr(self._file, "name", "the capture"))
        self.is_open = False
        self.size = 0
        self.files = 0
        self._first = 0
        self._made: deque[Path] = deque()
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._written = 0
        self._failed = False

    def open(self, time: int) -> None:
        """Begin a file whose first record has the time `time` (ns since 1970); the file before is closed."""
        if self._path is not None:
            self._finish()
            path = _numbered(self._path, self.files + 1, time) if self._rotation else self._path
            # A rotation may come to the name of the capture being read.
            self._check(path)
            try:
                # Without a buffer, `write` tells how much the file holds, and `flush` can cut it there.
                self._file = path.open("wb", buffering=0)
            except OSError as error:
                self._failed = True
                raise AtmdepotError(f"{path}: {error.strerror}") from None
            self.name = str(path)
            if self._rotation.files:
                self._keep(path)
        self.is_open = True
        self.files += 1
        self.size = self._written = 0
        self._first = time

    def is_over(self, time: int) -> bool:
        """True when a record of `time` belongs to the next file."""
        _, every, _ = self._rotation
        return bool(0 < self._rotation.max_octets <= self.size or (every and time - self._first >= every))

    def write(self, records: Sequence[bytes]) -> None:
        """Take records."""
        self._pieces += records
        length = sum(map(len, records))
        self.size += length
        self._waiting += length
        if self._waiting >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write the held records to the system.

        Raises:
            AtmdepotError: when they cannot be written; the file is then cut after its last whole record.
            BrokenPipeError: when the pipe has no reader any more.

        """
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        if not pieces or self._failed or self._file is None:
            return
        done = 0
        octets = memoryview(b"".join(pieces))
        try:
            while done < len(octets):
                # An unbuffered file may take only a part of the octets.
                done += self._file.write(octets[done:])
            self._file.flush()
        except BrokenPipeError:
            self._failed = True
            raise
        except OSError as error:
            self._failed = True
            # Readers take a file that ends with a whole record for complete.
            self._cut(self._written + _whole(pieces, done))
            raise AtmdepotError(f"{self.name}: {error.strerror}; it holds all records up to there") from None
        self._written += done

    def close(self) -> None:
        """Write the held records, and close the file if this object opened it."""
        if self._path is None:
            self.flush()
        else:
            self._finish()
        self.is_open = False

    def _finish(self) -> None:
        try:
            self.flush()
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _keep(self, path: Path) -> None:
        """Remember a new file, and remove the oldest beyond the rotation's number."""
        self._made.append(path)
        while len(self._made) > self._rotation.files:
            self._made.popleft().unlink(missing_ok=True)

    def _cut(self, length: int) -> None:
        # Only an ordinary file can be cut.
        if self._path is not None and self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), length)

    def _check(self, path: Path) -> None:
        try:
            why = why_no_place(path)
        except OSError as error:
            why = str(error.strerror)
        if why:
            raise AtmdepotError(f"{path}: {why}")
        if _identities([path]) & self._read:
            raise AtmdepotError(f"{path}: it is the capture that is being read; give another name with -w")


def _whole(pieces: Sequence[bytes], length: int) -> int:
    """Octets of the whole pieces among the first `length` octets."""
    total = 0
    for piece in pieces:
        if total + len(piece) > length:
            break
        total += len(piece)
    return total


def _identities(files: Collection[str | Path | BinaryIO]) -> set[tuple[int, int]]:
    """Device and inode of the ordinary files among `files`."""
    found = set()
    for file in files:
        with suppress(OSError, ValueError):
            status = Path(file).stat() if isinstance(file, str | Path) else os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode):
                found.add((status.st_dev, status.st_ino))
    return found


def _numbered(path: Path, number: int, time: int) -> Path:
    moment = clocks.strftime("%Y%m%d%H%M%S", clocks.gmtime(time // _NS))
    return path.with_name(f"{path.stem}_{number:05}_{moment}{path.suffix}")


def _standard_output() -> BinaryIO:
    if sys.stdout.isatty():
        raise AtmdepotError("a capture is not for a terminal: send standard output to a file or a pipe, as in "
                            "`... -w - | wireshark -k -i -`")
    return sys.stdout.buffer
