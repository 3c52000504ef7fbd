"""Texts of the kernel about processor time: cgroup mounts, cpu.stat, cpuacct.usage, pressure, lists of processors."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from atmdepot.errors import AtmdepotError

_NS_A_US = 1000


class NotRead(AtmdepotError):
    """A text that is not what the kernel writes."""


class Hierarchies(Struct, frozen=True):
    """The mounted cgroup hierarchies: `time` accounts for processor time, by `time_file`.

    They are the same directory where cgroup2 serves both; `events` is for perf events if they have a hierarchy.
    """

    time: Path
    time_file: str
    events: Path | None

    @property
    def roots(self) -> tuple[Path, ...]:
        """Each directory once."""
        return (self.time,) if self.events in (None, self.time) else (self.time, self.events)


def hierarchies(mounts: str) -> Hierarchies | None:
    """The hierarchies in the text of /proc/mounts: cgroup2 if it is mounted, else cpuacct if that is.

    perf_event belongs to cgroup2 unless a hierarchy of cgroup v1 has taken it (cgroups(7)).
    """
    unified, controllers = None, dict[str, Path]()
    for line in mounts.splitlines():
        _, directory, kind, options, *_ = [*line.split(), "", "", "", ""]
        path = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), directory))
        if kind == "cgroup2":
            unified = unified or path
        elif kind == "cgroup":
            for option in options.split(","):
                controllers.setdefault(option, path)
    events = controllers.get("perf_event", unified)
    if unified is not None:
        return Hierarchies(unified, "cpu.stat", events)
    return Hierarchies(controllers["cpuacct"], "cpuacct.usage", events) if "cpuacct" in controllers else None


def cpu_time(text: str) -> int:
    """The processor time (ns) in the text of cpu.stat (cgroup2, us) or cpuacct.usage (cgroup v1, ns)."""
    if re.fullmatch(r"\d+\n?", text):
        return int(text)
    if found := re.search(r"(?m)^usage_usec (\d+)$", text):
        return int(found[1]) * _NS_A_US
    raise NotRead("neither cpu.stat with usage_usec nor cpuacct.usage")


def waited(text: str) -> int:
    """Time (us) in which a task waited for a processor, in the text of /proc/pressure/cpu: `total` of `some`."""
    if found := re.search(r"(?m)^some .*\btotal=(\d+)$", text):
        return int(found[1])
    raise NotRead("no total of some in /proc/pressure/cpu")


def processors(text: str) -> list[int]:
    """The numbers in a list of processors, as /sys/devices/system/cpu/online has it: `0-2,5`."""
    found: list[int] = []
    for part in text.strip().split(","):
        if (both := re.fullmatch(r"(\d+)(?:-(\d+))?", part)) is None:
            raise NotRead(f'"{text.strip()}" is no list of processors')
        found += range(int(both[1]), int(both[2] or both[1]) + 1)
    return found
