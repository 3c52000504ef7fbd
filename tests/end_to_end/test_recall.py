"""A lone depot is killed and started again: next to no session is lost, whether it speaks, waits or downloads."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end.sites import VIP, VIP6, until
from tests.end_to_end.standing_by import ask, pair
from tests.end_to_end.test_depot_crash import DOWNLOAD, depot_again, has_begun, slow

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]

CLIENTS = 50
KEEP_ALIVE = """
import json, socket, sys, time
vip, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
ask = b"GET /1kB HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
clients = [socket.create_connection((vip, 80), 20) for _ in range(count)]
def exchange(s):
    s.sendall(ask)
    got = b""
    while b"\\r\\n\\r\\n" not in got:
        part = s.recv(65536)
        if not part: raise ConnectionError("closed")
        got += part
    head, _, body = got.partition(b"\\r\\n\\r\\n")
    size = int(head.lower().split(b"content-length: ")[1].split()[0])
    while len(body) < size:
        body += s.recv(65536)
for s in clients: exchange(s)
print("READY", flush=True)
lost, longest, end = set(), 0.0, time.monotonic() + seconds
idle = clients[count // 2:]  # the second half is silent until the end
while time.monotonic() < end:
    for n, s in enumerate(clients[:count // 2]):
        if n in lost: continue
        began = time.monotonic()
        try: exchange(s)
        except OSError: lost.add(n)
        longest = max(longest, time.monotonic() - began)
for n, s in enumerate(idle, count // 2):
    try: exchange(s)
    except OSError: lost.add(n)
print(json.dumps({"lost": len(lost), "longest": longest}))
"""


def test_restarted_depot_loses_next_to_nothing(needs: Callable[[str], None]) -> None:
    needs("curl")
    with slow("recall") as it, it.helper("client", "-c", KEEP_ALIVE, VIP, str(CLIENTS), "6") as keep_alive, \
            it.helper("client", "-c", DOWNLOAD, VIP) as download, it.helper("client", "-c", DOWNLOAD, VIP6) as other:
        until(lambda: has_begun(it))
        with depot_again(it):
            told = json.loads(keep_alive.communicate(timeout=60)[0])
            assert told["lost"] == 0, told
            for client in (download, other):
                assert client.communicate(timeout=120)[0] == hashlib.sha256(page("10MB")).hexdigest() + "\n"
            assert it.count("adopted") >= CLIENTS + 2


def test_download_on_a_shared_vc_goes_on(needs: Callable[[str], None]) -> None:
    needs("curl")
    shared = ('session_vcis = "64-65535"\n', "")
    with slow("recall-shared", shared) as it, it.helper("client", "-c", DOWNLOAD, VIP) as client:
        until(lambda: has_begun(it))
        with depot_again(it):
            assert client.communicate(timeout=120)[0] == hashlib.sha256(page("10MB")).hexdigest() + "\n"
            assert it.count("adopted") >= 1


def test_a_standby_recalls_what_it_was_not_told_in_a_period_of_5_s(needs: Callable[[str], None]) -> None:
    needs("keepalived")
    with pair("standby", ('interval = "0s"\n', 'interval = "5s"\n')) as it:
        active, other = it.settled()
        with it.clients(200) as clients:
            it.lab.kill(active)
            assert ask(clients) == 200
            assert it.role(other) == "active"
            assert it.count("recalls", other) == 1
