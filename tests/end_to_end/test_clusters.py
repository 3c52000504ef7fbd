"""Two clusters under one name: a name server gives both VIPs, each of a depot with servers of its own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]

ASKS = "for n in 1 2 3 4 5 6 7 8; do curl -s --max-time 10 $1 http://www.example.net/server; done"


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_clients_spread_over_the_clusters_of_a_name(needs: Callable[[str], None], family: str) -> None:
    needs("curl")
    needs("dnsmasq")
    lab = Lab.up("clusters")
    try:
        asked = lab.run("client", ["sh", "-c", ASKS, "asks", family], capture_output=True, text=True)
        served = Counter(asked.stdout.split())
        assert served.total() == 8, asked.stderr
        assert served["web1"] + served["web2"] >= 2
        assert served["web3"] >= 2
        # The first cluster is a depot with two servers, which take turns.
        assert abs(served["web1"] - served["web2"]) <= 1
        elsewhere = lab.run("web1", ["cat", "/etc/resolv.conf"], capture_output=True, text=True)
        assert "127.0.0.1" not in elsewhere.stdout, "the name server is the client's alone"
    finally:
        lab.down()
