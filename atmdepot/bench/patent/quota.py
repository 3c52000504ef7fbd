"""A cgroup with a quota of processor time: the small machine that a server of regime B runs on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from atmdepot.bench.cgroups import MEMBERS, PREFIX, enter, remove, remove_stale
from atmdepot.errors import EnvironmentLacks

if TYPE_CHECKING:
    from atmdepot.bench.patent.settings import SmallServer

_MOUNTS = Path("/proc/mounts")


class Controller(Struct, frozen=True):
    """The mounted hierarchy that grants processor time, of cgroup v1 or of cgroup2."""

    root: Path
    unified: bool

    def limits(self, quota_us: int, period_us: int) -> dict[str, str]:
        """The files of a group and what is written to them, in this order."""
        if self.unified:
            return {"cpu.max": f"{quota_us} {period_us}"}
        return {"cpu.cfs_period_us": str(period_us), "cpu.cfs_quota_us": str(quota_us)}


def controller(mounts: str) -> Controller | None:
    """The hierarchy in the text of /proc/mounts: that of cgroup v1 which has `cpu`, else cgroup2."""
    unified = None
    for line in mounts.splitlines():
        _, directory, kind, options, *_ = [*line.split(), "", "", "", ""]
        if kind == "cgroup" and "cpu" in options.split(","):
            return Controller(Path(directory), unified=False)
        if kind == "cgroup2":
            unified = unified or Controller(Path(directory), unified=True)
    return unified


def of_this_machine() -> Controller:
    """The hierarchy of this machine; raise EnvironmentLacks where no quota can be had, and tell what would help."""
    found = controller(_MOUNTS.read_text())
    if found is None:
        raise EnvironmentLacks("regime B needs quotas of processor time: mount cgroup2, or cgroup v1 with cpu")
    remove_stale(found.root)
    if found.unified:
        with suppress(OSError):  # refused, or on already: the group shows
            (found.root / "cgroup.subtree_control").write_text("+cpu")
    return found


class Quota:
    """A group with a server's quota, made within `with`."""

    def __init__(self, of: Controller, name: str, server: SmallServer) -> None:
        self._of, self._server = of, server
        self._directory = of.root / f"{PREFIX}{os.getpid()}-{name}"
        self._members = -1

    def __enter__(self) -> Self:
        """Make it; raise EnvironmentLacks where the system refuses."""
        try:
            self._directory.mkdir()
            for name, text in self._of.limits(self._server.quota_us, self._server.period_us).items():
                (self._directory / name).write_text(text)
            self._members = os.open(self._directory / MEMBERS, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            self.__exit__()
            raise EnvironmentLacks(f"regime B needs a quota of processor time, and {self._directory} cannot "
                                   f"have it: {error.strerror}; run as root, outside a container, or choose "
                                   "--regime A") from None
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it; its processes have ended, or are about to."""
        if self._members >= 0:
            os.close(self._members)
            self._members = -1
        remove([self._directory])

    @property
    def enter(self) -> tuple[str, ...]:
        """The words before a command that has to run in the group."""
        return enter([self._members])
