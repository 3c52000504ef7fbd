"""Many octets both ways through depot and edge nodes, which keep the kernel's frames whole: each octet arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import Site, changed, site

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.namespaces

SERVER = """
import hashlib, os, random, socket, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()  # with the test
listener = socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True)
print("READY", flush=True)
while True:
    end, _ = listener.accept()
    with end:
        left, found = int.from_bytes(end.recv(8, socket.MSG_WAITALL), "big"), hashlib.sha256()
        octets = random.Random(left).randbytes(left)
        while left:
            part = end.recv(min(left, 1 << 20))
            assert part
            left -= len(part)
            found.update(part)
        end.sendall(found.digest() + octets)
"""
CLIENT = """
import hashlib, random, socket, sys
vip, size = sys.argv[1], int(sys.argv[2])
octets = random.Random(1).randbytes(size)
with socket.create_connection((vip, 8080), 60) as end:
    end.sendall(size.to_bytes(8, "big") + octets)
    digest = end.recv(32, socket.MSG_WAITALL)
    parts = []
    while part := end.recv(1 << 20):
        parts.append(part)
got = b"".join(parts)
assert digest == hashlib.sha256(octets).digest(), "to the server"
assert hashlib.sha256(got).digest() == hashlib.sha256(random.Random(size).randbytes(size)).digest(), "to the client"
"""
SIZE = 8_000_000
BULK_VIP, BULK_VIP6 = "10.80.0.3", "fd00:80::3"
# Without ports, the lab's web server does not take those of this test.
SERVICE = f"""[services.bulk]
vip = ["{BULK_VIP}", "{BULK_VIP6}"]
servers = ["web1", "web2"]
balancing = "round-robin"

"""
VPS = {"vc-mux": "", "llc": 'encapsulation = "llc"\n', "dynamips": 'crc = "dynamips"\n'}


@pytest.fixture(scope="module", params=VPS)
def bulk(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The table `direct` with another service, and VPs of a kind."""
    changes = [(f'ends = ["depot", "web{n}"]\n', f'ends = ["depot", "web{n}"]\n{VPS[request.param]}') for n in (1, 2)]
    changes.append(("[services.web]\n", f'{SERVICE}[services.web]\n'))
    with changed("direct", "bulk", changes) as table, site(table) as made, \
            made.helper("web1", "-c", SERVER), made.helper("web2", "-c", SERVER):
        yield made


@pytest.mark.parametrize("vip", [BULK_VIP, BULK_VIP6])
def test_every_octet_arrives_and_every_packet_is_counted(bulk: Site, vip: str) -> None:
    bulk.python("client", CLIENT, vip, str(SIZE))
    service = f"{vip}:8080" if vip == BULK_VIP else f"[{vip}]:8080"
    [session] = [row for row in bulk.rows("sessions") if row["service"] == service]
    headers = 52 if vip == BULK_VIP else 72
    for way in ("in", "out"):
        packets, octets = session[f"packets_{way}"], session[f"octets_{way}"]
        # Packets of 1500 octets at most, with headers each; some may have been sent again.
        assert packets >= SIZE // (1500 - headers)
        assert octets >= SIZE + packets * headers
    assert bulk.drops() == {}
