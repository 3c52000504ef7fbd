"""A cgroup for each contender: the processor time of its whole lab, and what the kernel counts for it.

A lab's processes, its client's programs and its proxies begin in the group, so that their children do, too. What ends
in the meantime is counted with the rest.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from atmdepot.bench import perf
from atmdepot.bench.accounting import NotRead, cpu_time, hierarchies
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from atmdepot.bench.accounting import Hierarchies

PREFIX = "atmdepot-bench-"
"""Of the groups' names; the number of the benchmark's process follows."""

_MOUNTS = Path("/proc/mounts")
MEMBERS = "cgroup.procs"
"""The file of a group that has its processes."""

# The shell writes itself into each group named before `--`, and becomes the command after it. 0 is the writer.
_ENTER = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit; shift; done; shift; exec "$@"'
_STOP, _PAUSE = 5.0, 0.02


class NoGroup(AtmdepotError):
    """A cgroup that cannot be made, and why."""


class Cgroups:
    """The hierarchies of this machine, ready for groups; `refused` has the counts that the kernel refuses, and why."""

    def __init__(self, found: Hierarchies, wanted: Iterable[str] = perf.KINDS) -> None:
        """Remove what dead benchmarks left, and try all once; raise NoGroup where no group can be made.

        `wanted` are the kinds of counts that are wanted.
        """
        self._found = found
        self.events: dict[str, tuple[int, int]] = {}
        self.refused: dict[str, str] = {}
        for root in found.roots:
            remove_stale(root)
        with self.group("probe") as group:
            group.used()
            for name, event in perf.events(wanted).items():
                if (why := event if isinstance(event, str) else group.refuses(name, event)) is not None:
                    self.refused[name] = why
                elif not isinstance(event, str):
                    self.events[name] = event

    @classmethod
    def of_this_machine(cls, wanted: Iterable[str] = perf.KINDS) -> Self:
        """The cgroups that are mounted here; NoGroup without them, or where they cannot be written."""
        found = hierarchies(_MOUNTS.read_text())
        if found is None:
            raise NoGroup("neither cgroup2 nor cpuacct is mounted")
        return cls(found, wanted)

    @property
    def roots(self) -> tuple[Path, ...]:
        """The directories that the groups are made in."""
        return self._found.roots

    def group(self, name: str) -> Group:
        """A group, made within `with`."""
        return Group(self._found, f"{PREFIX}{os.getpid()}-{name}", self.events)


class Group:
    """The group of a contender: a directory in each hierarchy."""

    def __init__(self, found: Hierarchies, name: str, events: Mapping[str, tuple[int, int]]) -> None:
        self._found, self._events = found, events
        self._directories = [root / name for root in found.roots]
        self._time = found.time / name / found.time_file
        self._members: list[int] = []

    def __enter__(self) -> Self:
        """Make it; raise NoGroup where that cannot be done."""
        try:
            for directory in self._directories:
                directory.mkdir()
                self._members.append(os.open(directory / MEMBERS, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            self.__exit__()
            raise NoGroup(f"{error.filename} cannot be made: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it; its processes have ended, or are about to."""
        while self._members:
            os.close(self._members.pop())
        remove(self._directories)

    @property
    def enter(self) -> tuple[str, ...]:
        """The words before a command that has to run in the group."""
        return enter(self._members)

    def used(self) -> int:
        """The processor time (ns) of the group's processes until now, also of the ended."""
        try:
            return cpu_time(self._time.read_text())
        except (OSError, NotRead) as error:
            raise NoGroup(f"{self._time}: {error}") from None

    def refuses(self, name: str, event: tuple[int, int]) -> str | None:
        """The reason why the kernel does not count an event for the group, if it refuses to."""
        if self._found.events is None:
            return "no cgroup hierarchy has perf events"
        try:
            with perf.Counters(self._directories[-1], {name: event}):
                return None
        except (AtmdepotError, OSError) as error:
            return str(error)

    def counters(self) -> perf.Counters | None:
        """Counters of the wanted events, if the system grants at least a single event."""
        return perf.Counters(self._directories[-1], dict(self._events)) if self._events else None


def enter(members: Iterable[int]) -> tuple[str, ...]:
    """The words before a command that has to run in groups, by descriptors on their files of members."""
    # By our descriptors: commands in a lab have a /sys of their own, but the /proc of this process.
    return ("/bin/sh", "-c", _ENTER, "sh", *(f"/proc/{os.getpid()}/fd/{fd}" for fd in members), "--")


def remove(directories: Iterable[Path]) -> None:
    """Remove groups whose processes have ended, or are about to."""
    deadline = time.monotonic() + _STOP
    for directory in directories:
        while not _removed(directory) and time.monotonic() < deadline:
            time.sleep(_PAUSE)


def remove_stale(root: Path) -> None:
    """Remove the groups of killed benchmarks that have no process left."""
    for directory in root.glob(f"{PREFIX}*"):
        number = directory.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not Path(f"/proc/{number}").exists():
            _removed(directory)


def _removed(directory: Path) -> bool:
    """Remove a group if it has no process; the kernel refuses it otherwise."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
