"""Ports that are used again at full speed: no SYN waits, whichever way the last connection on the port ended.

A SYN that finds the entry of a closed session and is not let through costs its client a second, the time until it
sends the SYN again. The client's kernel counts what it sends again, so that a busy machine cannot be mistaken for it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import VIP, VIP6, Site

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.namespaces

PORTS, AT_ONCE, SECONDS, MOST = 200, 4, 8, 10_000

CONNECT = """
import json, socket, struct, sys, threading, time

vip, first, ports, at_once, seconds, most = sys.argv[1], *map(int, sys.argv[2:])
family = socket.AF_INET6 if ":" in vip else socket.AF_INET
reset_on_close = struct.pack("ii", 1, 0)
connects, failures, turns = [], [], []

def read_page(connection):
    # HTTP/1.0: the server closes when the page is sent, and the client after it.
    connection.sendall(b"GET /1KB HTTP/1.0\\r\\n\\r\\n")
    octets = b""
    while received := connection.recv(65536):
        octets += received
    assert octets.startswith(b"HTTP/1.1 200") and len(octets.partition(b"\\r\\n\\r\\n")[2]) == 1024

def reset_at_rest(connection):
    connection.sendall(b"HEAD /1KB HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)

def reset_in_the_middle(connection):
    connection.sendall(b"GET /10MB HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)

def reset_at_once(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)

ends = [read_page, reset_at_rest, read_page, reset_at_once, read_page, reset_in_the_middle, reset_at_rest]

def work(own):
    number = 0
    try:
        while time.monotonic() < deadline and number * at_once < most:
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                connection.settimeout(20)
                connection.bind(("", own[number % len(own)]))
                connection.connect((vip, 80))
                connects.append(number)
                ends[number % len(ends)](connection)
            number += 1
    except (OSError, AssertionError) as error:
        failures.append(f"{ends[number % len(ends)].__name__}, after {number}: {error!r}")
    turns.append(number / len(own))

deadline = time.monotonic() + seconds
threads = [threading.Thread(target=work, args=(range(first + n, first + ports, at_once),)) for n in range(at_once)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"connects": len(connects), "failures": failures, "turns": min(turns)}))
"""


def syns_sent_again(it: Site) -> int:
    """The number of SYNs that the client's kernel had to send again."""
    lines = [line.split() for line in it.run("client", "cat", "/proc/net/netstat").stdout.splitlines()]
    return next(int(values[names.index("TCPSynRetrans")]) for names, values in zip(lines[::2], lines[1::2], strict=True)
                if names[0] == "TcpExt:")


@pytest.mark.parametrize(("vip", "first"), [(VIP, 20_000), (VIP6, 21_000)], ids=["IPv4", "IPv6"])
def test_no_connect_waits(direct: Site, needs: Callable[[str], None], vip: str, first: int) -> None:
    needs("nginx")
    opened, again = direct.count("opened"), syns_sent_again(direct)
    told = json.loads(direct.python("client", CONNECT, vip, *map(str, (first, PORTS, AT_ONCE, SECONDS, MOST))))
    assert told["failures"] == []
    assert told["turns"] > 3, "each port was used again"
    assert syns_sent_again(direct) == again
    assert direct.count("opened") - opened == told["connects"], "each SYN opened a session of its own"
