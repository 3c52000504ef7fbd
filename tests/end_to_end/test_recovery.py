"""A daemon takes its set-up of the host back, and makes again what is taken from it."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end.sites import KEEP_ALIVE, VIP, VIP6, Site, end, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

REMOVE_TUN = """
from pyroute2 import IPRoute
with IPRoute() as ip:
    ip.link("del", index=ip.link_lookup(ifname="atm0")[0])
"""

HOST = """
import json
from pyroute2 import IPRoute
with IPRoute() as ip:
    rules = [dict(rule["attrs"]) for family in (2, 10) for rule in ip.get_rules(family=family)]
    lo = ip.link_lookup(ifname="lo")[0]
    print(json.dumps({
        "tun": len(ip.link_lookup(ifname="atm0")),
        "rules": sorted(rule["FRA_SRC"] for rule in rules if rule.get("FRA_PRIORITY") == 5300),
        "lo": sorted(a.get_attr("IFA_ADDRESS") for a in ip.get_addr(index=lo)),
        "table": sum(len(ip.get_routes(table=5300, family=family)) for family in (2, 10)),
    }))
"""


@pytest.fixture(scope="module")
def frail(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    with site("direct") as made:
        yield made


def host(it: Site, node: str) -> dict[str, Any]:
    """The set-up of a node's namespace."""
    found: dict[str, Any] = json.loads(it.python(node, HOST))
    return found


def serves(it: Site) -> None:
    for vip in (VIP, VIP6):
        got = [it.fetch(vip, "10KB") for _ in range(2)]
        assert {one.server for one in got} == {"web1", "web2"}
        assert all(one.octets == page("10KB") for one in got)


SET_UP = {"tun": 1, "rules": [VIP, VIP6], "lo": [VIP, "127.0.0.1", "::1", VIP6], "table": 2}
TAKEN_BACK = {"tun": 0, "rules": [], "lo": ["127.0.0.1", "::1"], "table": 0}


def test_an_edge_sets_up_its_host(frail: Site) -> None:
    assert host(frail, "web1") == SET_UP


@pytest.mark.parametrize("node", ["depot", "web1"])
def test_a_tun_that_is_removed_comes_back_and_with_it_the_service(frail: Site, node: str) -> None:
    """Connections outlive it: the sessions are the daemon's, not the device's."""
    with frail.helper("client", "-c", KEEP_ALIVE, VIP, VIP6) as clients:
        before = host(frail, node)
        frail.python(node, REMOVE_TUN)
        until(lambda: frail.counters(node).get(("tun", "vanished")) == 1)
        until(lambda: host(frail, node) == before)
        serves(frail)
        assert clients.communicate("\n", timeout=60)[0] == "still there\n"
    assert frail.counters(node)["tun", "vanished"] == 1
    gone, back = [line for line in frail.told(node) if "TUN device" in line][:2]
    assert gone.endswith("the TUN device is gone: File descriptor in bad state; it is made again")
    assert back.endswith("the TUN device is back")


def test_an_edge_that_is_stopped_takes_back_what_it_set_up_and_can_start_again(frail: Site) -> None:
    assert host(frail, "web1") == SET_UP
    os.kill(frail.pid("web1"), signal.SIGTERM)
    until(lambda: frail.lab.state.processes["web1"].exit_code is not None)
    assert frail.lab.state.processes["web1"].exit_code == 0
    assert host(frail, "web1") == TAKEN_BACK
    assert not (frail.lab.directory / "web1.sock").exists()
    edge = frail.start("web1")
    assert host(frail, "web1") == SET_UP
    serves(frail)
    assert end(edge, signal.SIGINT) == 0
    assert host(frail, "web1") == TAKEN_BACK


def test_earlier_settings_of_the_host_stay(frail: Site) -> None:
    """The VIP on the loopback may be the administrator's own."""
    add = ("import sys\nfrom pyroute2 import IPRoute\nwith IPRoute() as ip: ip.addr(sys.argv[1], index=1, "
           f"address='{VIP}', prefixlen=32)")
    frail.python("web1", add, "add")
    edge = frail.start("web1")
    assert host(frail, "web1") == SET_UP
    assert end(edge, signal.SIGTERM) == 0
    assert host(frail, "web1") == TAKEN_BACK | {"lo": [VIP, "127.0.0.1", "::1"]}
    frail.python("web1", add, "del")


def test_a_depot_that_is_stopped_takes_its_device_with_it(frail: Site) -> None:
    os.kill(frail.pid("depot"), signal.SIGTERM)
    until(lambda: frail.lab.state.processes["depot"].exit_code is not None)
    assert frail.lab.state.processes["depot"].exit_code == 0
    assert host(frail, "depot")["tun"] == 0
    assert not (frail.lab.directory / "depot.sock").exists()
