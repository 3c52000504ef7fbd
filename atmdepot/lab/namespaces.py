"""Linux namespaces without names: made by unshare, held by a file descriptor, gone with their last holder.

`os.unshare` and `os.setns` came with Python 3.12; until the package requires it, ctypes calls the C functions.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.errors import EnvironmentLacks

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

TUN_DEVICE = Path("/dev/net/tun")

_PR_SET_PDEATHSIG = 1
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_SLAVE = 0x1, 0x2, 0x4, 0x8, 0x4000, 0x80000
_MS_BIND = 0x1000
_SYSFS = "/sys"
_NOBODY = 65534
_libc = ctypes.CDLL(None, use_errno=True)


class Doors(Struct, frozen=True):
    """Descriptors through which a process enters a node's namespaces; `user` is -1 without a user namespace."""

    user: int
    pid: int
    net: int

    @property
    def fds(self) -> list[int]:
        return [fd for fd in (self.user, self.pid, self.net) if fd >= 0]

    def close(self) -> None:
        """Close all descriptors."""
        for fd in self.fds:
            os.close(fd)

    def enter(self) -> None:
        """Move this process into the namespaces; the PID namespace takes only its next children."""
        # The user namespace comes first: it gives the right to enter the network and PID namespaces.
        if self.user >= 0:
            setns(self.user, CLONE_NEWUSER)
        setns(self.net, CLONE_NEWNET)
        setns(self.pid, CLONE_NEWPID)


def unshare(flags: int) -> None:
    """Move this process into new namespaces of these kinds (PID namespace: from the next child on)."""
    _check("unshare", _libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """Enter the namespace that `fd` is open on."""
    _check("setns", _libc.setns(fd, kind))


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent dies."""
    _check("prctl", _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0))


def enter_new_user_namespace() -> None:
    """Become root of a new user namespace; outside it the process keeps its rights."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    # The kernel lets an ordinary user write gid_map only after this.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")


def open_current(kind: str) -> int:
    """Open this process's namespace of a kind (`net`, `pid`, `user`); return the descriptor."""
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)


def new_network_namespace() -> int:
    """Make a network namespace and return its descriptor; it lives until its last holder is gone."""
    with _back_home():
        unshare(CLONE_NEWNET)
        return open_current("net")


@contextmanager
def in_network_namespace(fd: int) -> Iterator[None]:
    """Run the block in a network namespace; sockets and processes made there stay in it."""
    with _back_home():
        setns(fd, CLONE_NEWNET)
        yield


def own_mounts() -> None:
    """Give this process and its children mounts of their own, which do not reach the host; the host's reach them.

    Raise OSError where the kernel forbids it.
    """
    unshare(CLONE_NEWNS)
    _mount("none", "/", None, _MS_REC | _MS_SLAVE)


def mount_own_sysfs() -> None:
    """Mount the /sys of the current network namespace in place of the host's, after `own_mounts`. Raise OSError."""
    read_only = _MS_RDONLY if os.statvfs(_SYSFS).f_flag & os.ST_RDONLY else 0
    _mount("sysfs", _SYSFS, "sysfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC | read_only)


def leave_for_nobody() -> None:
    """Become nobody of a new user namespace, with shared memory of its own; files are its owner's as before.

    Raise OSError where the kernel forbids it.
    """
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{_NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{_NOBODY} {gid} 1", encoding="ascii")
    _mount("tmpfs", "/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV)


def use_resolver(path: str) -> None:
    """Let this process and its children find names by another resolver file, after `own_mounts`. Raise OSError."""
    _mount(path, os.path.realpath("/etc/resolv.conf"), None, _MS_BIND)


def require_tun() -> None:
    """Raise EnvironmentLacks when TUN devices cannot be opened."""
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR))
    except OSError as error:
        raise EnvironmentLacks(f"{TUN_DEVICE} cannot be opened: {error.strerror}; `atmdepot doctor` says "
                               "what to do") from None


def host_pid() -> int:
    """PID of this process as /proc shows it: the caller's number, not the number in a new PID namespace."""
    return int(Path("/proc/self").readlink().name)


def host_pid_of(pid: int) -> int:
    """PID that /proc shows for a process that this PID namespace calls `pid`."""
    pidfd = os.pidfd_open(pid)
    try:
        text = Path(f"/proc/self/fdinfo/{pidfd}").read_text(encoding="ascii")
    finally:
        os.close(pidfd)
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pid:"))


@contextmanager
def _back_home() -> Iterator[None]:
    home = open_current("net")
    try:
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    # The flags are an unsigned long, and ctypes would pass an int.
    kind_octets = kind.encode() if kind else None
    _check("mount", _libc.mount(source.encode(), target.encode(), kind_octets, ctypes.c_ulong(flags), None))


def _check(call: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
