"""A lab of two depots, one of which stands by, and what clients and operators do in it."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from atmdepot.errors import AtmdepotError
from atmdepot.lab.pages import page
from tests.end_to_end.sites import VIP, VIP6, Site, changed, site, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

DEPOTS = ("depot1", "depot2")
PAGE = hashlib.sha256(page("10MB")).hexdigest() + "\n"

DOWNLOAD = """
import hashlib, socket, sys
s = socket.create_connection((sys.argv[1], 80), 60)
s.sendall(b"GET /10MB HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n")
print("READY", flush=True)
got = bytearray()
while part := s.recv(1 << 20):
    got += part
print(hashlib.sha256(got.partition(b"\\r\\n\\r\\n")[2]).hexdigest())
"""
"""A client's program that only receives, as soon as it has asked."""

UPLOAD = """
import socket, sys
s = socket.create_connection((sys.argv[1], 80), 60)
size = 5_000_000
s.sendall(b"POST /server HTTP/1.0\\r\\nHost: x\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
print("READY", flush=True)
for _ in range(size // 10_000):
    s.sendall(bytes(10_000))
s.shutdown(socket.SHUT_WR)
print(s.recv(9).decode())
"""
"""A client's program that only sends, and then looks whether the server has got all of it."""

CLIENTS = """
import socket, sys
count, vips = int(sys.argv[1]), sys.argv[2:]
sockets = [socket.create_connection((vips[number % len(vips)], 80), 60) for number in range(count)]
def answer(s):
    got = b""  # in pieces, where the kernel took an outage for a path that carries small packets only
    while not got.endswith(b"\\r\\n\\r\\n") and (part := s.recv(1000)):
        got += part
    return got
def ask():
    for s in sockets:
        s.sendall(b"HEAD / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    return sum(answer(s).startswith(b"HTTP/1.1 200") for s in sockets)
assert ask() == count
print("READY", flush=True)
for _ in sys.stdin:
    print(ask(), flush=True)
"""
"""A client's program: it opens connections, and sends a request on each per line of its input."""


FLOOD = """
import ipaddress, socket, struct, sys, time
vip = ipaddress.ip_address(sys.argv[1]).packed
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
for number in range(1 << 30):
    source = struct.pack(">BBH", 10, 9, 0x4000 + number % 0x8000)
    segment = struct.pack(">HHIIBBHHH", 1024 + number % 60000, 80, number, 0, 0x50, 2, 1024, 0, 0)
    whole = source + vip + struct.pack(">BBH", 0, 6, 20) + segment
    total = sum(struct.unpack(">16H", whole))
    total = (total & 0xFFFF) + (total >> 16)
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    packet = struct.pack(">BBHHHBBH", 0x45, 0, 40, 1, 0, 64, 6, 0) + source + vip + segment[:16] + struct.pack(
        ">H", check) + segment[18:]
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    raw.sendto(packet, (sys.argv[1], 0))
    if number % 20 == 0:
        time.sleep(0.005)
"""
"""A client's program: SYNs from ever other addresses, some thousand a second, until it is killed."""

CONNECT = """
import socket, sys
s = socket.create_connection((sys.argv[1], 80), 60)
print("READY", flush=True)
sys.stdin.readline()
s.sendall(b"GET /server HTTP/1.0\\r\\n\\r\\n")
print(s.makefile("rb").read().rpartition(b"\\r\\n\\r\\n")[2].decode().strip())
"""
"""A client's program: it connects, and fetches a page when it is told."""

DROP_ACKS = """
add table inet deaf
add chain inet deaf out { type filter hook output priority 0; }
add rule inet deaf out tcp dport 80 tcp flags & (syn | ack) == ack drop
"""


class Pair(Site):
    """A lab of two depots, both of which run when a test begins and ends."""

    def depot(self, name: str) -> dict[str, Any]:
        """A depot's row; empty while it does not answer."""
        with contextlib.suppress(AtmdepotError):
            return self.rows("depots", name)[0]
        return {}

    def role(self, name: str) -> str:
        return str(self.depot(name).get("role", ""))

    def settled(self) -> tuple[str, str]:
        """The active depot and the other, when that is in sync."""
        until(lambda: sorted(map(self.role, DEPOTS)) == ["active", "standby"]
              and not any(self.depot(name)["trouble"] for name in DEPOTS))
        active = next(name for name in DEPOTS if self.role(name) == "active")
        return active, self.other(active)

    @staticmethod
    def other(name: str) -> str:
        return DEPOTS[name == DEPOTS[0]]

    @contextlib.contextmanager
    def clients(self, count: int, *vips: str) -> Iterator[subprocess.Popen[str]]:
        """Clients with connections that live on."""
        with self.helper("client", "-c", CLIENTS, str(count), *(vips or (VIP, VIP6))) as running:
            yield running

    @contextlib.contextmanager
    def download(self, vip: str = VIP) -> Iterator[subprocess.Popen[str]]:
        """A download that has begun, and lasts some seconds."""
        active = self.settled()[0]
        with self.helper("client", "-c", DOWNLOAD, vip) as running:
            until(lambda: any(row["octets_out"] > 500_000 and row["table"] == "primary"
                              for row in self.rows("sessions", active)))
            yield running

    def same_sessions(self) -> bool:
        """True when both depots have the same live sessions, by their digests."""
        one, other = map(self.depot, DEPOTS)
        return bool(one) and one["digest"] == other["digest"]


@contextlib.contextmanager
def without_acks(it: Pair) -> Iterator[Callable[[], None]]:
    """Let no ACK of the client's go out: a handshake stays open until what is yielded is called."""
    it.run("client", "nft", DROP_ACKS)
    try:
        yield lambda: it.run("client", "nft", "delete table inet deaf") and None
    finally:
        it.run("client", "nft", "delete table inet deaf", check=False)


def ask(clients: subprocess.Popen[str]) -> int:
    """Send a request on each connection of clients; return how many were answered."""
    assert clients.stdin is not None
    assert clients.stdout is not None
    clients.stdin.write("\n")
    clients.stdin.flush()
    return int(clients.stdout.readline() or -1)


def outcome(process: subprocess.Popen[str]) -> str:
    """The last output of a client's program."""
    return process.communicate(timeout=90)[0]


def left_whole(lab: Pair) -> Iterator[Pair]:
    """A lab for a test; at its end the depots that the test has left dead start again."""
    lab.settled()
    yield lab
    for name in DEPOTS:
        if lab.lab.state.processes[name].exit_code is not None:
            lab.lab.start(name)


@contextlib.contextmanager
def pair(table: str = "standby", *changes: tuple[str, str], rate: str = "[links.to-{}]\nrate", **options: Any,
         ) -> Iterator[Pair]:
    """A lab of a shipped table whose ways take seconds for 10 MB, for a slow machine; options as for Lab.up.

    `rate` is where the rate of the way to an edge node stands: the heading of its entry, and the key.
    """
    keys = [rate.format(name).split("\n") for name in ("web1", "web2", "web1-b", "web2-b")]
    slow = [(f"{heading}\n", f'{heading}\n{key} = "20Mbps"\n') for heading, key in keys]
    patient = ("[depots.main]\n", '[depots.main]\nsilence = "1s"\n')
    all_changes = [*slow, patient, *changes]
    with changed(table, f"{table}-e2e", all_changes) as path, site(path, watched=True, **options) as made:
        yield Pair(made.lab)
