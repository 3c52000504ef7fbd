"""The depot is killed during a download and started again: the session is adopted, or both of its ends are told."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end.sites import VIP, VIP6, Site, changed, end, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

DOWNLOAD = """
import hashlib, socket, sys
s = socket.create_connection((sys.argv[1], 80), 60)
s.sendall(b"GET /10MB HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n")
print("READY", flush=True)
got = bytearray()
try:
    while part := s.recv(1 << 20):
        got += part
    print(hashlib.sha256(got.partition(b"\\r\\n\\r\\n")[2]).hexdigest())
except OSError as error:
    print(type(error).__name__)
"""
"""A client's program that only receives, as soon as it has asked."""

OPEN = """
import re
lines = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}")]
print(sum(line[1].endswith(":0050") and line[3] in ("01", "04", "05") for line in lines))
"""
"""The number of a server's connections that have not ended."""

SLOW = ("cells = 27\n", 'cells = 27\nrate = "30Mbps"\n')


@contextlib.contextmanager
def slow(name: str, *changes: tuple[str, str]) -> Iterator[Site]:
    """A lab whose links take seconds for 10 MB."""
    with changed("direct", name, [SLOW, *changes]) as table, site(table) as made:
        yield made


@contextlib.contextmanager
def depot_again(it: Site) -> Iterator[None]:
    """Kill the depot, and start another."""
    os.kill(it.pid("depot"), signal.SIGKILL)
    until(lambda: it.lab.state.processes["depot"].exit_code is not None)
    depot = it.start("depot")
    try:
        yield
    finally:
        end(depot, signal.SIGTERM)


def has_begun(it: Site) -> bool:
    return any(row["octets_out"] > 1_000_000 for row in it.rows("sessions"))


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_download_goes_on_when_the_depot_has_crashed(needs: Callable[[str], None], vip: str) -> None:
    needs("curl")
    with slow("crash") as it, it.helper("client", "-c", DOWNLOAD, vip) as client:
        until(lambda: has_begun(it))
        with depot_again(it):
            out, _ = client.communicate(timeout=120)
            assert out == hashlib.sha256(page("10MB")).hexdigest() + "\n"
            assert it.count("adopted") == 1
            assert sum(row["octets_out"] for row in it.rows("sessions")) > 1_000_000


def test_both_ends_are_reset_where_sessions_share_a_vc_and_are_not_recalled(needs: Callable[[str], None]) -> None:
    needs("curl")
    shared = ('session_vcis = "64-65535"\n', "")
    reset = ("[services.web]\n", "\n".join([
        '[sessions]\norphan = "reset"', '[depots.main]\nnodes = ["depot"]\nrecall = false', "[services.web]\n"]))
    with slow("crash-shared", shared, reset) as it, it.helper("client", "-c", DOWNLOAD, VIP) as client:
        until(lambda: has_begun(it))
        server = max(it.rows("sessions"), key=lambda row: row["octets_out"])["server"]
        with depot_again(it):
            out, _ = client.communicate(timeout=120)
            assert out == "ConnectionResetError\n"
            until(lambda: it.python(server, OPEN) == "0\n")
            assert it.count("adopted") == 0
