"""Our guess of both ends' states beside the kernel's.

Connection tracking in the depot's own namespace sees the same packets between the client's wire and the TUN device.
The kernel has one state for a connection where we have one for each end; `AS_THE_KERNEL_SAYS` is the map from ours to
its. Every exchange stops somewhere and stays there while both are asked.
"""

from __future__ import annotations

import contextlib
import re
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import CLIENT, CLIENT6, VIP, VIP6, Site, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

AS_THE_KERNEL_SAYS = {
    # client, server: the kernel's word
    ("SYN-SENT", "SYN-RECEIVED"): "SYN_SENT",
    ("ESTABLISHED", "SYN-RECEIVED"): "SYN_RECV",
    ("ESTABLISHED", "ESTABLISHED"): "ESTABLISHED",
    ("FIN-WAIT-1", "CLOSE-WAIT"): "FIN_WAIT",
    ("CLOSE-WAIT", "FIN-WAIT-1"): "FIN_WAIT",
    ("FIN-WAIT-2", "CLOSE-WAIT"): "CLOSE_WAIT",
    ("CLOSE-WAIT", "FIN-WAIT-2"): "CLOSE_WAIT",
    ("TIME-WAIT", "LAST-ACK"): "LAST_ACK",
    ("LAST-ACK", "TIME-WAIT"): "LAST_ACK",
    ("TIME-WAIT", "CLOSED"): "TIME_WAIT",
    ("CLOSED", "TIME-WAIT"): "TIME_WAIT",
    ("CLOSED", "CLOSED"): "CLOSE",
}

EXCHANGES = {
    "open": "ESTABLISHED",
    "transfer": "ESTABLISHED",
    "server_reads_on": "ESTABLISHED",
    "syn_unanswered": "SYN_SENT",
    "syn_ack_unanswered": "SYN_RECV",
    "refused": "CLOSE",
    "server_closes": "CLOSE_WAIT",
    "server_closes_then_client": "TIME_WAIT",
    "client_closes_then_server": "TIME_WAIT",
    "half_close_and_a_long_rest": "CLOSE_WAIT",
    "fin_unanswered": "FIN_WAIT",
    "last_ack_missing": "LAST_ACK",
    "client_resets": "CLOSE",
    "client_resets_in_mid_transfer": "CLOSE",
    "server_resets": "CLOSE",
    "reset_in_the_window": "ESTABLISHED",
    "reset_outside_the_window": "ESTABLISHED",
    "port_reused": "ESTABLISHED",
    "port_reused_after_reset": "ESTABLISHED",
}
"""The end of each exchange of the client below, as the kernel should have it."""

KERNEL_MAY_SAY = {
    # Two FINs are to it one from each side, though the second is the first again; we know whose each is.
    "fin_unanswered": {"LAST_ACK"},
    # Any ACK is to it the last one; we wait for one that acknowledges the FIN.
    "last_ack_missing": {"TIME_WAIT"},
    # Likewise a FIN that the server sends again, since its acknowledgement was slow.
    "server_closes": {"LAST_ACK", "TIME_WAIT"},
    # It forgets a connection that was reset after 10 s; we keep it for 2 MSL, for late packets.
    **{name: {"nothing"} for name, state in EXCHANGES.items() if state == "CLOSE"},
}
"""Places where the kernel may differ from us, with the reasons. There is no other difference."""

FORGOTTEN = 10.0
"""Seconds after which both may have forgotten a connection that was reset in its handshake: on a slow machine."""

FIRST_PORT = 30_000
CLIENTS = {ip_address(CLIENT), ip_address(CLIENT6)}

PLAY = """
import errno, fcntl, socket, struct, sys, termios, time

vip, first, names = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
family = socket.AF_INET6 if ":" in vip else socket.AF_INET
reset_on_close = struct.pack("ii", 1, 0)
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, SEND_QUEUE = 19, 20, 21, 2
held = []

def new(port):
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Small, so that no download is over before it is read: both kernels' buffers could hold all of it.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(30)
    connection.bind(("", port))
    return connection

def connected(port):
    connection = new(port)
    connection.connect((vip, 80))
    return connection

def head(connection, version="1.1"):
    connection.sendall(f"HEAD /1KB HTTP/{version}\\r\\nHost: x\\r\\n\\r\\n".encode())
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")

def at_end(connection):
    assert connection.recv(65536) == b""

def close_by_reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)
    connection.close()

def start_download(connection):
    connection.sendall(b"GET /10MB HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")

def next_number(connection):
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE)
    number = connection.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ) % 2 ** 32
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, -1)  # without a window probe
    return number

def send_reset(connection, beyond):
    number = (next_number(connection) + beyond) % 2 ** 32
    source, port = connection.getsockname()[:2]
    body = struct.pack(">HHIIBBHHH", port, 80, number, 0, 0x50, 4, 0, 0, 0)
    pseudo = socket.inet_pton(family, source) + socket.inet_pton(family, vip) + struct.pack(">IHBB", len(body), 0, 0, 6)
    total = sum(struct.unpack(f">{(len(pseudo) + len(body)) // 2}H", pseudo + body))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:16] + (total ^ 0xFFFF).to_bytes(2, "big") + body[18:]
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.bind((source, 0))
        raw.sendto(body, (vip, 0))

def open(port):
    return connected(port)

def transfer(port):
    connection = connected(port)
    head(connection)
    return connection

def server_reads_on(port):
    connection = connected(port)
    start_download(connection)
    return connection

def syn_unanswered(port):
    connection = new(port)
    connection.setblocking(False)
    connection.connect_ex((vip, 80))
    return connection

syn_ack_unanswered = syn_unanswered

def refused(port):
    connection = new(port)
    try:
        connection.connect((vip, 80))
    except ConnectionRefusedError:
        return connection
    raise AssertionError("it was not refused")

def server_closes(port):
    connection = connected(port)
    head(connection, "1.0")
    at_end(connection)
    return connection

def server_closes_then_client(port):
    server_closes(port).close()

def client_closes_then_server(port):
    connection = connected(port)
    head(connection)
    connection.shutdown(socket.SHUT_WR)
    at_end(connection)
    return connection

def half_close_and_a_long_rest(port):
    connection = connected(port)
    start_download(connection)
    # The window is shut by then: whatever the server makes of our FIN, its own waits behind data.
    seen, deadline = [], time.monotonic() + 30
    while len(seen) < 20 or len(set(seen[-20:])) > 1:
        seen.append(fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))
        assert time.monotonic() < deadline
        time.sleep(0.01)
    connection.shutdown(socket.SHUT_WR)
    return connection

def fin_unanswered(port):
    connection = connected(port)
    head(connection)
    connection.shutdown(socket.SHUT_WR)
    return connection

def last_ack_missing(port):
    connection = connected(port)
    head(connection, "1.0")
    at_end(connection)
    connection.close()

def client_resets(port):
    connection = connected(port)
    head(connection)
    close_by_reset(connection)

def client_resets_in_mid_transfer(port):
    connection = connected(port)
    start_download(connection)
    close_by_reset(connection)

def server_resets(port):
    connection = connected(port)
    try:
        connection.sendall(b"HEAD / HTTP/1.1\\r\\n\\r\\n")
        connection.recv(1)
    except ConnectionResetError:
        return connection
    raise AssertionError("it was not reset")

def reset_in_the_window(port):
    connection = transfer(port)
    send_reset(connection, 1000)
    return connection

def reset_outside_the_window(port):
    connection = transfer(port)
    send_reset(connection, 2 ** 30)
    return connection

def transfer_when_free(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            return transfer(port)
        except OSError as error:  # the last ACK of the close before is still on its way
            if error.errno != errno.EADDRNOTAVAIL or time.monotonic() > deadline:
                raise
            time.sleep(0.01)

def port_reused(port):
    server_closes(port).close()
    return transfer_when_free(port)

def port_reused_after_reset(port):
    client_resets(port)
    return transfer_when_free(port)

for number, name in enumerate(names):
    try:
        held.append(globals()[name](first + number))
    except Exception as error:
        raise AssertionError(name) from error
print("READY", flush=True)
sys.stdin.read()
"""

CLIENTS_RULES = """
add table inet play
add chain inet play out { type filter hook output priority 0; }
add rule inet play out tcp sport @syn_ack_unanswered tcp flags & (syn | ack) == ack drop
"""
EDGES_RULES = """
add table inet play
add chain inet play in { type filter hook input priority 0; }
add chain inet play out { type filter hook output priority 0; }
add rule inet play in tcp sport @refused reject with tcp reset
add rule inet play in tcp sport @server_resets tcp flags & psh == psh reject with tcp reset
add rule inet play in tcp sport @fin_unanswered tcp flags & fin == fin drop
add rule inet play in tcp sport @last_ack_missing tcp flags & fin == fin drop
add rule inet play out tcp dport @syn_unanswered drop
"""
TRACK = """
add table inet track
add chain inet track forward { type filter hook forward priority 0; }
add rule inet track forward ct state invalid counter
"""


@pytest.fixture(scope="module")
def tracked(needs: Callable[[str], None]) -> Iterator[Site]:
    """A lab whose depot's kernel tracks connections; the client and the servers' hosts leave some packets away."""
    needs("nginx")
    needs("nft")
    with site("direct", watched=True) as made:
        if made.run("depot", "nft", TRACK, check=False).returncode:
            pytest.skip("this kernel cannot track connections")
        if made.run("depot", "cat", "/proc/net/nf_conntrack", check=False).returncode:
            pytest.skip("this kernel does not show what it tracks (CONFIG_NF_CONNTRACK_PROCFS)")
        made.run("client", "nft", with_ports(CLIENTS_RULES))
        for edge in ("web1", "web2"):
            made.run(edge, "nft", with_ports(EDGES_RULES))
        yield made


def with_ports(rules: str) -> str:
    """The rules with the ports of the exchanges, of both families, in the places of their names."""
    names = list(EXCHANGES)
    return re.sub(r"@(\w+)", lambda found: "{{ {}, {} }}".format(
        *(first + names.index(found[1]) for first in (FIRST_PORT, FIRST_PORT + 100))), rules)


def kernels_states(it: Site) -> dict[int, str]:
    """The kernel's state of each connection of the client's (not of the depot's probes), by the client's port."""
    told = it.run("depot", "cat", "/proc/net/nf_conntrack").stdout
    lines = re.findall(r" tcp +6 \d+ (\S+) src=(\S+) dst=\S+ sport=(\d+) dport=80 ", told)
    return {int(port): state for state, source, port in lines if ip_address(source) in CLIENTS}


def our_states(it: Site) -> dict[int, tuple[str, str]]:
    """Our states of both ends of each session, by the client's port."""
    return {int(row["client"].rpartition(":")[2]): (row["client_state"], row["server_state"])
            for row in it.rows("sessions")}


@pytest.mark.parametrize(("vip", "first"), [(VIP, FIRST_PORT), (VIP6, FIRST_PORT + 100)], ids=["IPv4", "IPv6"])
def test_our_guess_is_the_kernels(tracked: Site, vip: str, first: int) -> None:
    begun = monotonic()
    with tracked.helper("client", "-c", PLAY, vip, str(first), ",".join(EXCHANGES)) as client:
        differences: dict[str, str] = {}

        def agree() -> bool:
            differences.clear()
            ours, kernels = our_states(tracked), kernels_states(tracked)
            for port, (name, expected) in enumerate(EXCHANGES.items(), first):
                both = ours.get(port, ("", ""))
                theirs = kernels.get(port, "nothing")
                allowed = {expected} | KERNEL_MAY_SAY.get(name, set())
                if expected == "CLOSE" and (both, theirs) == (("", ""), "nothing") and monotonic() - begun > FORGOTTEN:
                    continue
                if AS_THE_KERNEL_SAYS.get(both) != expected or theirs not in allowed:
                    differences[name] = f"expected {expected}, we say {both}, the kernel says {theirs}"
            return not differences

        with contextlib.suppress(AssertionError):
            until(agree, 10, pause=0.2)
        assert differences == {}
        client.communicate(timeout=60)


def test_every_session_of_the_client_is_tracked_by_both(tracked: Site) -> None:
    """Whatever the kernel still has, we have too: nothing is forgotten before it."""
    for _ in range(4):
        tracked.fetch(VIP, "10KB")
        tracked.fetch(VIP6, "10KB")
    until(lambda: kernels_states(tracked).keys() <= our_states(tracked).keys(), 10)
    assert len(kernels_states(tracked)) >= 8
