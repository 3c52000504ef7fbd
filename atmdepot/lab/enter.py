"""Run a command in a node of the lab: `python -m atmdepot.lab.enter USERFD PIDFD NETFD -- CMD...`.

The descriptors are open on namespaces of the lab (USERFD -1: it has no user namespace of its own). The
command is a member of its PID namespace, so it ends with the lab at the latest, and sees the /sys of its own
network namespace where that is permitted. This process stands for it outside: it passes signals on, stops when
the command stops, and ends as the command ends.
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


def run(doors: Doors, argv: Sequence[str]) -> NoReturn:
    """Run a command behind the doors and end this process as the command ends."""
    interactive = _is_interactive()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        doors.enter()
        doors.close()
        # A process becomes a member of a PID namespace only by being born there.
        child = os.fork()
    except OSError as error:
        os.write(2, f"the lab cannot be entered: {error.strerror}; has it ended?\n".encode())
        os._exit(1)
    if child == 0:
        _become(argv, mask, interactive)
    _end_as(_stand_for(child, interactive))


def _become(argv: Sequence[str], mask: set[int], interactive: bool) -> NoReturn:
    namespaces.die_with_parent(signal.SIGKILL)
    with suppress(OSError):
        # A container may forbid it. Then there is the /sys of the host, as before.
        namespaces.mount_own_sysfs()
    if interactive:
        # A shell wants to give the terminal back to the process group that it began in, so that has to be one
        # that it can see: its own, and not ours outside.
        os.setpgid(0, 0)
        _give_terminal(os.getpid())
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and exec would keep that
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        os.execvp(argv[0], list(argv))
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)


def _stand_for(child: int, interactive: bool) -> int:
    """Wait for the child, passing on what is sent to us; return its wait status."""
    foreground = interactive
    while True:
        info = signal.sigwaitinfo(signal.valid_signals())
        if info.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
            if pid and foreground:
                _give_terminal(os.getpgrp())
                foreground = False
            if pid and os.WIFSTOPPED(status):
                os.kill(os.getpid(), signal.SIGSTOP)
            elif pid:
                return status
        elif info.si_code <= 0:
            # Sent by a process, to us. What the terminal sends, it sends to the child as well.
            if interactive and info.si_signo == signal.SIGCONT and _is_interactive():
                _give_terminal(child)
                foreground = True
            (os.killpg if interactive else os.kill)(child, info.si_signo)


def _is_interactive() -> bool:
    """Whether we have the terminal for input and output; then we are not a part of a pipeline."""
    try:
        return all(os.tcgetpgrp(fd) == os.getpgrp() for fd in (0, 1, 2))
    except OSError:
        return False


def _give_terminal(group: int) -> None:
    # Signals are blocked, so a process in the background may do this too. The terminal may be gone.
    with suppress(OSError):
        os.tcsetpgrp(0, group)


def _end_as(status: int) -> NoReturn:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core dump, the command's, is enough
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)


def main() -> None:
    """Read the descriptors and the command from the command line."""
    user, pid, net, _, *argv = sys.argv[1:]
    run(Doors(int(user), int(pid), int(net)), argv)


if __name__ == "__main__":
    main()
