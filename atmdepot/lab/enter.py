"""Run a command in a node of the lab: `python -m atmdepot.lab.enter USERFD PIDFD NETFD [RESOLVER] -- CMD...`.

The descriptors are open on namespaces of the lab; USERFD is -1 when the lab has no user namespace. The command joins
the lab's PID namespace, so it ends with the lab at the latest. Where the kernel permits these mounts, it sees the /sys
of its own network namespace, and the file RESOLVER as /etc/resolv.conf. This process represents the command outside:
it forwards signals, stops when the command stops, and ends as the command ends.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from atmdepot.lab import namespaces
from atmdepot.lab.namespaces import Doors

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


def run(doors: Doors, argv: Sequence[str], resolver: str = "") -> NoReturn:
    """Run a command in the namespaces of the doors and end this process as the command ends."""
    interactive = _is_interactive()
    # Signals wait for sigwaitinfo() in `_stand_for`, so that all of them are forwarded.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        doors.enter()
        doors.close()
        # setns() puts only new children into a PID namespace, hence the fork.
        child = os.fork()
    except OSError as error:
        os.write(2, f"the lab cannot be entered: {error.strerror}; has it ended?\n".encode())
        os._exit(1)
    if child == 0:
        _become(argv, mask, interactive, resolver)
    _end_as(_stand_for(child, interactive))


def _become(argv: Sequence[str], mask: set[int], interactive: bool, resolver: str) -> NoReturn:
    # SIGKILL cannot be forwarded, so the kernel kills the command when the process outside dies.
    namespaces.die_with_parent(signal.SIGKILL)
    # A container may forbid mounts. The command then sees the /sys of the host, and its resolver file.
    with suppress(OSError):
        namespaces.own_mounts()
        if resolver:
            namespaces.use_resolver(resolver)
        namespaces.mount_own_sysfs()
    if interactive:
        # A shell gives the terminal back to the process group that it began in. It must see that group in its
        # PID namespace, so the command gets its own group instead of ours outside.
        os.setpgid(0, 0)
        _give_terminal(os.getpid())
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and exec would inherit that
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        os.execvp(argv[0], list(argv))
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)


def _stand_for(child: int, interactive: bool) -> int:
    """Wait for the child and forward our signals to it; return its wait status."""
    foreground = interactive
    while True:
        info = signal.sigwaitinfo(signal.valid_signals())
        if info.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
            # The child has ended or stopped: the terminal is ours again.
            if pid and foreground:
                _give_terminal(os.getpgrp())
                foreground = False
            if pid and os.WIFSTOPPED(status):
                os.kill(os.getpid(), signal.SIGSTOP)
            elif pid:
                return status
        elif info.si_code <= 0:
            # si_code <= 0: a process sent it to us. Signals of the terminal reach the child without us.
            if interactive and info.si_signo == signal.SIGCONT and _is_interactive():
                _give_terminal(child)
                foreground = True
            (os.killpg if interactive else os.kill)(child, info.si_signo)


def _is_interactive() -> bool:
    """True when our process group has the terminal for input and output (no pipeline)."""
    try:
        return all(os.tcgetpgrp(fd) == os.getpgrp() for fd in (0, 1, 2))
    except OSError:
        return False


def _give_terminal(group: int) -> None:
    # SIGTTOU is blocked, so a background process may call this too. The terminal may be gone.
    with suppress(OSError):
        os.tcsetpgrp(0, group)


def _end_as(status: int) -> NoReturn:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command's core dump is enough
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)


def main() -> None:
    """Read the descriptors and the command from the command line."""
    at = sys.argv.index("--")
    user, pid, net, *resolver = sys.argv[1:at]
    run(Doors(int(user), int(pid), int(net)), sys.argv[at + 1:], *resolver)


if __name__ == "__main__":
    main()
