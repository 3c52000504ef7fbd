"""Traffic under way when one depot takes over from another: handshakes, ports used again, a full sync, UDP."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import VIP, until
from tests.end_to_end.standing_by import CONNECT, Pair, ask, left_whole, pair, without_acks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]

IPERF = "10.80.0.2"
# UDP beside TCP, and an address with all ports, so that iperf3's two connections reach the same server.
CHANGES = ("ports = [80]\n", 'ports = [80]\nprotocols = ["tcp", "udp"]\n'), (
    "[services.web]\n", '[services.iperf]\nvip = ["10.80.0.2"]\nservers = ["web1"]\n\n[services.web]\n')

ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 80))
print("READY", flush=True)
while True:
    octets, client = s.recvfrom(65536)
    s.sendto(sys.argv[2].encode() + octets, client)
"""
"""A server's program: it answers datagrams with its name and what came."""

TALK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 80))
def ask(size):
    for _ in range(40):
        s.send(bytes(size))
        s.settimeout(0.5)
        try:
            return s.recv(65536)
        except TimeoutError:
            pass
        except ConnectionRefusedError:
            return b"refused"
    return b"nothing"
print("READY", flush=True)
for line in sys.stdin:
    got = ask(int(line))
    print(got.strip(b"\\0").decode(), got.count(0), flush=True)
"""
"""A client's program: a datagram of so many octets per line of its input, again until it is answered."""

PORTS = """
import json, socket, sys
vip, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def repeated():
    names, values = [line.split() for line in open("/proc/net/netstat") if line.startswith("TcpExt:")]
    return int(values[names.index("TCPSynRetrans")])
before, pages = repeated(), 0
for port in range(first, first + count):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.settimeout(30)
        s.bind(("", port))
        s.connect((vip, 80))
        s.sendall(b"GET /1KB HTTP/1.0\\r\\n\\r\\n")
        pages += len(s.makefile("rb").read().partition(b"\\r\\n\\r\\n")[2]) == 1024
print(json.dumps([pages, repeated() - before]))
"""
"""A client's program: a connection from each of its own ports; pages that came whole, and SYNs that were repeated."""

@pytest.fixture(scope="module")
def lab(needs: Callable[[str], None]) -> Iterator[Pair]:
    for program in ("keepalived", "nginx", "ip", "tc", "nft", "iperf3"):
        needs(program)
    with pair("standby", *CHANGES) as made:
        yield made


@pytest.fixture
def it(lab: Pair) -> Iterator[Pair]:
    yield from left_whole(lab)


@contextlib.contextmanager
def slow_sync(it: Pair, node: str) -> Iterator[None]:
    """A wire between the depots that carries 16 kbit/s from this one."""
    it.run(node, "tc", "qdisc", "add", "dev", "sync", "root", "tbf", "rate", "16kbit", "burst", "2kb", "latency", "9s")
    try:
        yield
    finally:
        it.run(node, "tc", "qdisc", "del", "dev", "sync", "root")


def test_a_takeover_in_the_middle_of_a_full_sync_is_refused_and_recall_mends_a_forced_one(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(400, VIP) as clients:
        it.lab.kill(other)
        with slow_sync(it, active):
            it.lab.start(other)
            until(lambda: it.depot(other).get("inherited", 0) > 0)
            assert it.role(other) == "joining"
            refused = it.atmdepot("takeover", "--node", other)
            assert refused.returncode == 1
            assert "not in sync" in refused.stderr
            assert it.role(active) == "active"
            assert it.atmdepot("takeover", "--node", other, "--force").returncode == 0
            until(lambda: it.role(other) == "active")
            assert ask(clients) == 400
        assert it.count("adopted", other) > 0


def test_a_depot_is_killed_between_syn_and_syn_ack(it: Pair) -> None:
    active, other = it.settled()
    for name, link in it.lab.network.links.items():
        if active in link.ends:
            assert it.atmdepot("impair", name, "--from", active, "--delay", "5s").returncode == 0
    with it.lab.popen("client", [sys.executable, "-c", CONNECT, VIP], stdin=-1, stdout=-1, text=True) as client:
        until(lambda: any(row["server_state"] == "LISTEN" or row["client_state"] == "SYN-SENT"
                          for row in it.rows("sessions", active) if row["client"].startswith("10.9.0.2")))
        it.lab.kill(active)
        assert client.communicate("\n", timeout=60)[0].split() in (["READY", "web1"], ["READY", "web2"])
        assert it.role(other) == "active"


def test_a_depot_is_killed_between_syn_ack_and_ack(it: Pair) -> None:
    active, other = it.settled()
    with without_acks(it) as acks_pass, it.lab.popen(
            "client", [sys.executable, "-c", CONNECT, VIP], stdin=-1, stdout=-1, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "READY\n"
        it.lab.kill(active)
        until(lambda: it.role(other) == "active")
        acks_pass()
        assert client.communicate("\n", timeout=60)[0].strip() in ("web1", "web2")


def test_ports_are_used_again_across_a_takeover(it: Pair) -> None:
    _, other = it.settled()
    words = PORTS, VIP, "31000", "40"
    assert json.loads(it.python("client", *words))[0] == 40
    assert it.atmdepot("takeover", "--node", other).returncode == 0
    it.settled()
    pages, repeated = json.loads(it.python("client", *words))
    assert pages == 40
    assert repeated < 20, "a closed session that is not let go costs each SYN a second"


def test_udp_fragments_and_icmp_errors_go_on(it: Pair) -> None:
    active, other = it.settled()
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(it.helper(node, "-c", ECHO, VIP, node)) for node in ("web1", "web2")]
        talk = stack.enter_context(it.helper("client", "-c", TALK, VIP))
        try:
            name, octets = said(talk, 4000)
            assert (name in ("web1", "web2"), octets) == (True, 4000)
            assert said(talk, 100) == (name, 100)
            until(it.same_sessions)
            it.lab.kill(active)
            assert said(talk, 4000) == (name, 4000), "in fragments, to the server that it had"
            assert it.role(other) == "active"
        finally:
            for server in servers:
                server.terminate()
                server.wait(60)
        assert said(talk, 100) == ("refused", 0), "the server's ICMP error comes back"


def said(talk: object, size: int) -> tuple[str, int]:
    """Send a datagram of a size; return who answered, and with how many octets of it."""
    talk.stdin.write(f"{size}\n")  # type: ignore[attr-defined]
    talk.stdin.flush()  # type: ignore[attr-defined]
    name, octets = talk.stdout.readline().split()  # type: ignore[attr-defined]
    return name, int(octets)


def test_iperf3_goes_on_across_a_takeover(it: Pair) -> None:
    active, other = it.settled()
    with it.lab.popen("web1", ["iperf3", "-s", "-1", "-B", IPERF], stdout=-1) as server:
        until(lambda: ":5201" in it.run("web1", "ss", "-tln").stdout)
        with it.lab.popen("client", ["iperf3", "-c", IPERF, "-t", "8", "-J"], stdout=-1, text=True) as client:
            until(lambda: any(row["octets_in"] > 500_000 and row["service"].endswith(":5201")
                              for row in it.rows("sessions", active)))
            it.lab.kill(active)
            told = json.loads(client.communicate(timeout=90)[0])
        server.kill()
    assert "error" not in told
    assert told["end"]["sum_received"]["bytes"] > 1_000_000
    assert it.role(other) == "active"
