"""Samples, one for each test and pass, in a journal with a line for each, so that a run can go on."""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from atmdepot.bench.patent.seen import Seen  # noqa: TC001 - msgspec reads it at run time
from atmdepot.bench.patent.settings import Settings  # noqa: TC001
from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError
from atmdepot.paths import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_T = TypeVar("_T")
FORMAT = 1
_KB = 1024
_GREATEST = 2**28


class Sample(Struct, frozen=True, omit_defaults=True):
    """A test of a pass: what the client saw, or why there is no figure.

    `waited` is the share of a moment before it in which tasks of other processes waited for a processor (None where
    the kernel does not tell), `load` the load average of the machine. `until_none`: seconds from a server's death to
    the last failed request, 0 when none failed; `never` when requests failed to the end.
    """

    key: str
    number: int
    seen: Seen | None = None
    why: str = ""
    waited: float | None = None
    load: float = 0.0
    until_none: float | None = None
    never: bool = False

    @property
    def complete(self) -> bool:
        """True when every request was answered."""
        return self.seen is not None and not self.seen.failed

    @property
    def rate(self) -> float | None:
        """Answers per second; None without any."""
        return self.seen.counted / self.seen.seconds if self.seen and self.seen.counted else None

    @property
    def kbytes(self) -> float | None:
        """Kbytes/s, heads included."""
        return self.seen.octets / _KB / self.seen.seconds if self.seen and self.seen.counted else None


class Spread(Struct, frozen=True):
    """Median and quartiles of the passes' values; with two passes or one, the least and the greatest."""

    median: float
    lower: float
    upper: float


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of some values, if there are values."""
    if not values:
        return None
    if len(values) < 3:
        return Spread(statistics.median(values), min(values), max(values))
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(middle, lower, upper)


class Samples:
    """The samples of a run by test."""

    def __init__(self, samples: Sequence[Sample] = ()) -> None:
        self.by_key: dict[str, list[Sample]] = {}
        for sample in samples:
            self.add(sample)

    def add(self, sample: Sample) -> None:
        """Keep a sample."""
        self.by_key.setdefault(sample.key, []).append(sample)

    def of(self, key: str) -> list[Sample]:
        """The samples of a test."""
        return self.by_key.get(key, [])

    @property
    def done(self) -> dict[str, int]:
        """The number of passes of each test."""
        return {key: len(samples) for key, samples in self.by_key.items()}

    @property
    def all(self) -> list[Sample]:
        """All samples."""
        return [sample for samples in self.by_key.values() for sample in samples]

    def spread(self, key: str, value: Callable[[Sample], float | None], *, only_complete: bool = True) -> Spread | None:
        """The spread of a value over the passes of a test that were completed; None when none was."""
        found = [value(sample) for sample in self.of(key) if sample.complete or not only_complete]
        return spread([each for each in found if each is not None])

    def ratio(self, over: str, under: str, value: Callable[[Sample], float | None]) -> Spread | None:
        """The spread of the ratio of two tests within a pass; None where no pass completed both."""
        below = {each.number: value(each) for each in self.of(under) if each.complete}
        return spread([top / bottom for each in self.of(over) if each.complete
                       if (top := value(each)) is not None and (bottom := below.get(each.number))])


class _Head(Struct, forbid_unknown_fields=True):
    format: int
    version: str
    settings: Settings
    tests: list[str]


class Journal:
    """The file of a run: a head, then a line for each sample."""

    def __init__(
        self, path: Path, version: str, settings: Settings, tests: Sequence[str], *, only_read: bool = False,
    ) -> None:
        """Read a journal to go on with it, or begin one; with `only_read` the file stays as it is.

        Raises:
            AtmdepotError: the file is no journal, one of another version, servers or tests, or cannot be written.

        """
        self._path, self.samples = path, Samples()
        head = _Head(FORMAT, version, settings, list(tests))
        try:
            is_written_only = path.is_char_device() or not path.exists()  # nothing is kept in /dev/null
            octets = b"" if is_written_only else read_file(path, "journal", _GREATEST)
        except OSError as error:
            raise AtmdepotError(f"{path} cannot be read: {error.strerror}; begin anew with --anew, or name another "
                                "directory") from None
        whole, _, part = octets.rpartition(b"\n")
        first = msgspec.json.encode(head)
        if not whole:
            if not first.startswith(part):
                raise AtmdepotError(f"{path}: this is no journal of such a run; name another directory")
            if not only_read:
                self._write(first, truncate=0 if octets else None)
            return
        self._read(whole, head)
        if part and not only_read:  # a line that was cut off when the run ended
            self._write(b"", truncate=len(whole) + 1)

    def _read(self, octets: bytes, head: _Head) -> None:
        lines = octets.split(b"\n")
        told = self._decoded(lines[0], 1, _Head)
        for number, line in enumerate(lines[1:], start=2):
            self.samples.add(self._decoded(line, number, Sample))
        for name, old, new in (("format", told.format, head.format), ("version", told.version, head.version),
                               ("servers", told.settings, head.settings), ("tests", told.tests, head.tests)):
            if old != new:
                raise AtmdepotError(f"{self._path}: a run with other {name} than this one, and figures of both do not "
                                    "belong together: give the same options, begin anew with --anew, or name another "
                                    "directory")

    def _decoded(self, line: bytes, number: int, kind: type[_T]) -> _T:
        try:
            return msgspec.json.decode(line, type=kind)
        except NOT_DECODED as error:
            raise AtmdepotError(f"{self._path}, line {number}: this is no line of a run ({error}); begin anew with "
                                "--anew, or name another directory") from None

    def add(self, sample: Sample) -> None:
        """Note a sample; raise AtmdepotError when it cannot be written, as on a full disk."""
        self._write(msgspec.json.encode(sample))
        self.samples.add(sample)

    def _write(self, line: bytes, truncate: int | None = None) -> None:
        try:
            with self._path.open("ab") as file:
                if truncate is not None:
                    file.truncate(truncate)
                file.write(line + b"\n" if line else b"")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AtmdepotError(f"{self._path} cannot be written: {error.strerror}; what it has is kept: make room, "
                                "then go on with --resume") from None
