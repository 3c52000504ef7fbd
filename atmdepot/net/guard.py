"""The guard of a set's address: a small process beside a depot, which gives the address up when the depot cannot.

It hears a beat of the depot's loop on its standard input. When the beat stops for too long, the depot hangs; when the
input ends, the depot has died, however it died. Either way the guard acts, in the ways that its plan has:

- an engine that it has started (keepalived) reads an unfit number in a file, or is ended;
- addresses are removed from an interface, the host no longer answers for others there, and octets are sent to a server
  (to revoke a lease).

It runs by its path, without the package, to start fast and to stay small; the package imports it for `set_address`.
Lines to it: nothing (a beat), `= NUMBER` (the fitness), `> HOST PORT HEX` (the octets to send, `>` alone for none).
Lines of it: JSON, `{"event": "hangs"}` and `{"event": "ended", "status": ..., "said": [...]}`.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

UNFIT = -254
_ADD_ADDRESS, _DELETE_ADDRESS = 20, 21
_ADD_NEIGHBOUR, _DELETE_NEIGHBOUR = 28, 29
_REQUEST, _ACK, _CREATE, _REPLACE = 0x1, 0x4, 0x400, 0x100
_LOCAL, _ADDRESS, _DESTINATION = 2, 1, 1
_PROXY = 0x8
ANSWERS_FOR = 0
"""Bits of the prefix of an address that is no host's: the host answers its neighbours for it."""
_NO_DAD = 0x02
_HEADER, _ADDRESS_HEAD, _NEIGHBOUR_HEAD, _ATTRIBUTE, _ERROR = map(
    struct.Struct, ("=IHHII", "=BBBBI", "=BxxxiHBx", "=HH", "=i"))
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_LAST_LINES = 20
_LONGEST_SAID = 1000
_LONGEST_LINE, _LONGEST_NUMBER = 65536, 20
_MOST_FITNESS, _MOST_PORT, _FAREWELL_WORDS = 1_000_000, 65535, 3
_LONGEST_END = 2.5
"""Seconds that an engine has to end (keepalived takes 1.02)."""
_FAREWELL = 0.3
"""Seconds for a server to take the octets."""


class Plan:
    """The process that a guard watches, and what it gives up."""

    __slots__ = ("addresses", "file", "limit", "parent", "program")

    def __init__(self, parent: int, limit: float, program: list[str], file: str,
                 addresses: list[tuple[str, str, int]]) -> None:
        """Make a plan.

        Args:
            parent: number of the depot's process.
            limit: seconds without a beat after which the depot hangs; 0 for never.
            program: the engine to start; empty for none.
            file: the file of the fitness; empty for none.
            addresses: name of an interface, address and bits of the prefix, `ANSWERS_FOR` where it is no host's. By its
                number an interface that was made anew would keep the address.

        """
        self.parent, self.limit, self.program = parent, limit, program
        self.file, self.addresses = file, addresses

    def text(self) -> str:
        """The plan as the guard's argument."""
        return json.dumps([self.parent, self.limit, self.program, self.file, self.addresses])


def set_address(index: int, address: str, bits: int, there: bool) -> None:
    """Add an address to an interface or remove it; one that is there, or gone, already is no error. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    # No duplicate address detection: it would take a second, and the address was another's until now.
    body = _ADDRESS_HEAD.pack(family, bits, _NO_DAD if family == socket.AF_INET6 else 0, 0, index)
    for kind in (_LOCAL, _ADDRESS):
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), kind) + packed
    # ENODEV and EADDRNOTAVAIL say that it is gone.
    _ask_kernel(_ADD_ADDRESS if there else _DELETE_ADDRESS, body, there, (19, 99))


def set_answering(index: int, address: str, there: bool) -> None:
    """Have the host answer for an address on an interface (proxy ARP, neighbour discovery) or not. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    body = _NEIGHBOUR_HEAD.pack(family, index, 0, _PROXY)
    body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _DESTINATION) + packed
    # ENOENT and ENODEV say that it is gone.
    _ask_kernel(_ADD_NEIGHBOUR if there else _DELETE_NEIGHBOUR, body, there, (2, 19))


def _ask_kernel(kind: int, body: bytes, there: bool, gone: tuple[int, ...]) -> None:
    """Have the kernel add something or remove it; one of the codes `gone` is no error at a removal. Raises OSError."""
    flags = _REQUEST | _ACK | ((_CREATE | _REPLACE) if there else 0)
    message = _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(message)
        code = -_ERROR.unpack_from(kernel.recv(4096), _HEADER.size)[0]
    if code and (there or code not in gone):
        raise OSError(code, os.strerror(code))


class Guard:
    """A guard at work."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._fitness = UNFIT
        self._farewell: tuple[str, int, bytes] | None = None
        self._hangs = False
        self._engine = self._output = -1
        self._line, self._said = b"", [""]
        self._wrong = 0

    def run(self) -> None:
        """Watch until the depot or the engine has ended, or a signal comes; then give everything up."""
        try:
            self._write(UNFIT)
            if self._plan.program:
                self._start()
            if os.getppid() == self._plan.parent:  # else it died before the death signal was set
                self._watch()
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._end()

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        if self._output >= 0:
            poll.register(self._output, select.POLLIN)
        limit, heard = self._plan.limit, time.monotonic()
        while True:
            due = heard + limit if limit and not self._hangs else None
            ready = dict(poll.poll(None if due is None else max(0.0, due - time.monotonic()) * 1000 + 1))
            now = time.monotonic()
            if self._output in ready and not self._hear_engine():
                return
            if 0 in ready:
                heard = now
                if not self._hear_depot():
                    return
            elif due is not None and now >= due:
                if now - due > limit / 4:  # this process did not run either: give the depot a moment
                    heard = now - limit * 3 / 4
                else:
                    self._hang()

    # The depot.

    def _hear_depot(self) -> bool:
        """Take the depot's lines; False at the end of its life."""
        octets = os.read(0, 65536)
        *lines, self._line = (self._line + octets).split(b"\n")
        if len(self._line) > _LONGEST_LINE:
            self._line = b"?" + self._line[:80]  # no order, whatever follows
        for line in lines:
            try:
                self._take(line)
            except (ValueError, IndexError):  # the address must not be given up because of a line
                self._wrong += 1
                if self._wrong == 1:
                    sys.stderr.write(f"guard: {line[:80]!r} is no order, and is left out: = NUMBER, or > HOST PORT "
                                     "HEX\n")
        if self._hangs and octets:
            self._hangs = False
            self._write(self._fitness)
        return bool(octets)

    def _take(self, line: bytes) -> None:
        """Carry out a line; raise ValueError or IndexError for one that is no order."""
        if line.startswith(b"="):
            fitness = int(line[1:][:_LONGEST_NUMBER])
            if not -_MOST_FITNESS <= fitness <= _MOST_FITNESS:
                raise ValueError("no fitness")
            self._fitness = fitness
            self._write(fitness)
        elif line.startswith(b">"):
            words = line[1:].split()
            if not words:
                self._farewell = None
                return
            port = int(words[1][:_LONGEST_NUMBER])
            if not 0 < port <= _MOST_PORT or len(words) != _FAREWELL_WORDS:
                raise ValueError("no server")
            self._farewell = words[0].decode("ascii"), port, bytes.fromhex(words[2].decode("ascii"))
        elif line:
            raise ValueError("no order")

    def _hang(self) -> None:
        self._hangs = True
        self._write(UNFIT)
        if not self._plan.program:  # an engine takes its addresses away itself
            self._give_up()
        self._tell(event="hangs")

    def _tell(self, **what: object) -> None:
        with suppress(OSError):  # the depot is gone, or reads nothing
            os.write(1, json.dumps(what).encode() + b"\n")

    # What is given up.

    def _write(self, fitness: int) -> None:
        if self._plan.file:
            file = os.open(self._plan.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.write(file, b"%d\n" % fitness)
            os.close(file)  # now the engine reads it

    def _give_up(self) -> None:
        for interface, address, bits in self._plan.addresses:
            try:
                index = socket.if_nametoindex(interface)
            except OSError:
                continue  # it is gone, and the address with it
            try:
                if bits == ANSWERS_FOR:
                    set_answering(index, address, there=False)
                else:
                    set_address(index, address, bits, there=False)
            except OSError as error:
                sys.stderr.write(f"guard: {address} stays: {error}\n")
        if self._farewell is not None:
            host, port, octets = self._farewell
            # If that fails, the lease ends by itself.
            with suppress(OSError, UnicodeError), socket.create_connection((host, port), _FAREWELL) as server:
                server.sendall(octets)
                server.recv(1)

    def _end(self) -> None:
        if self._engine > 0:
            os.kill(self._engine, signal.SIGTERM)
            self._wait_for_engine()
        self._give_up()  # of an engine, what it has left behind
        if self._wrong > 1:
            sys.stderr.write(f"guard: {self._wrong} lines were no orders\n")

    # The engine.

    def _start(self) -> None:
        self._output, output = os.pipe()
        self._engine = os.fork()
        if not self._engine:
            try:
                _die_with_parent()
                null = os.open(os.devnull, os.O_RDONLY)
                for descriptor, place in ((null, 0), (output, 1), (output, 2)):
                    os.dup2(descriptor, place)
                os.execv(self._plan.program[0], self._plan.program)
            finally:
                os._exit(127)
        os.close(output)
        os.set_blocking(self._output, False)

    def _hear_engine(self) -> bool:
        """Keep the engine's last lines, so that it never waits for a reader; False when it has ended."""
        try:
            octets = os.read(self._output, 65536)
        except BlockingIOError:
            return True
        *lines, self._said[-1] = (self._said[-1] + octets.decode(errors="replace")).split("\n")
        self._said = [line[-_LONGEST_SAID:] for line in (*self._said[:-1], *lines, self._said[-1])[-_LAST_LINES:]]
        if octets:
            return True
        self._wait_for_engine()
        return False

    def _wait_for_engine(self) -> None:
        until = time.monotonic() + _LONGEST_END
        while True:
            ended, status = os.waitpid(self._engine, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > until:
                os.kill(self._engine, signal.SIGKILL)
            time.sleep(0.01)
        self._engine = -1
        self._tell(event="ended", status=os.waitstatus_to_exitcode(status), said=[line for line in self._said if line])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)


def main() -> None:
    """Be the guard of the plan in the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: the depot decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _die_with_parent()
    Guard(Plan(*json.loads(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
