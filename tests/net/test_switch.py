"""A switch between a depot and its edge nodes: over real sockets, in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from atmdepot.config.reading import parse
from atmdepot.drops import DropReason
from atmdepot.net import daemon, views
from atmdepot.net.host import HostSetup
from atmdepot.net.line_link import LineLink
from atmdepot.net.tun import NoDevice
from atmdepot.net.udp_link import UdpLink
from atmdepot.wire.cell import CellHeader
from tests.atm.trains import cell
from tests.net.ends import fresh
from tests.net.nodes import ACK, DEPOT, PSH, VIP, WEB1, WEB2, Connection, Nodes, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from atmdepot.config.model import Network

SW1 = "sw1"


def switched(link: str = "", vp: str = "") -> Network:
    """A depot and two edge nodes around a switch; `link` adds lines to each link, `vp` to the first VP."""
    links = {"core": (DEPOT, SW1), "to-web1": (SW1, WEB1), "to-web2": (SW1, WEB2)}
    told = "".join(f'[links.{name}]\nends = {{ {one} = "{fresh()}", {other} = "{fresh()}" }}\n{link}\n'
                   for name, (one, other) in links.items())
    return parse(f"""
name = "loop"
nodes.depot.kind = "depot"
nodes.sw1.kind = "switch"
nodes.web1.kind = "edge"
nodes.web2.kind = "edge"
servers.web1.node = "web1"
servers.web2.node = "web2"
{told}
[vps.web1]
ends = ["web1", "depot"]
vpi = 1
session_vcis = "64-1000"
{vp}
[vps.web2]
ends = ["web2", "depot"]
vpi = 1
session_vcis = "64-1000"
[services.web]
vip = ["{VIP}"]
ports = [80]
servers = ["web1", "web2"]
""")


@pytest.fixture
async def start() -> AsyncIterator[Callable[[Network], Nodes]]:
    made: list[Nodes] = []

    def make(network: Network) -> Nodes:
        made.append(Nodes(network))
        made[-1].start(nursery)
        return made[-1]

    async with trio.open_nursery() as nursery:
        yield make
        nursery.cancel_scope.cancel()
    for nodes in made:
        nodes.close()


@pytest.mark.parametrize("link", ["", 'rate = "oc3"', "cells = 1", 'rate = "oc3"\ndelay = "1ms"'])
async def test_connections_pass_octet_for_octet(start: Callable[[Network], Nodes], link: str) -> None:
    nodes = start(switched(link))
    for number, server in enumerate((WEB1, WEB2, WEB1)):
        talk = Connection(40_000 + number)
        page = bytes(range(256)) * 5
        for here, there, packet in [
                (DEPOT, server, talk.syn), (server, DEPOT, talk.syn_ack), (DEPOT, server, talk.ack),
                (DEPOT, server, talk.up(PSH | ACK, 1001, 5001, b"GET /", tos=0x28)),
                (server, DEPOT, talk.down(PSH | ACK, 5001, 1006, page))]:
            nodes.put(here, packet)
            assert await nodes.get(there) == packet
    pump = nodes.pumps[SW1]
    assert [port.drops for port in pump.node.links.values()] == [{}] * 3
    rows = {row.link: row for row in views.links(pump, 10)}
    assert rows["core"].tx_cells == rows["to-web1"].rx_cells + rows["to-web2"].rx_cells > 0
    assert [(row.link, row.vc, row.to) for row in views.vcs(pump, 10)] == [  # type: ignore[attr-defined]
        ("to-web1", "1", "core 1"), ("core", "1", "to-web1 1"), ("to-web2", "1", "core 2"), ("core", "2", "to-web2 1")]


async def test_cells_that_are_wrong_or_of_nobody(start: Callable[[Network], Nodes]) -> None:
    nodes = start(switched())
    core, header = nodes.pumps[DEPOT].links["core"], CellHeader(1, 64)
    one_bit, good = bytearray(cell(header)), cell(header, 1)
    one_bit[2] ^= 1
    two_bits = bytes(one_bit[:3]) + bytes((one_bit[3] ^ 1,)) + bytes(one_bit[4:])
    core.send(good + bytes(one_bit) + good + two_bits + cell(CellHeader(7, 64)) * 2, 0)
    port = nodes.pumps[SW1].node.links["core"]
    await until(lambda: port.counts().rx_cells >= 6)
    assert port.drops == {DropReason.HEC_ERROR: 1, DropReason.UNKNOWN_VC: 2}
    assert port.counts().hec_corrected == 1
    assert [row.tx_cells for row in views.links(nodes.pumps[SW1], 9)] == [0, 3, 0]


def test_a_switch_keeps_its_rate_and_leaves_the_line_the_rest() -> None:
    for settings, kind in (('rate = "oc3"', UdpLink), ('rate = "oc3"\ndelay = "1ms"', LineLink)):
        network = switched(settings)
        nodes = Nodes(network)
        link = nodes.pumps[SW1].links["core"]
        assert type(link) is kind
        assert not isinstance(link, LineLink) or (link.line.rate, link.next_timer()) == (0, None)
        nodes.close()


def test_a_switch_has_no_device_and_needs_no_host() -> None:
    network = switched()
    device = daemon._device_of(network, SW1)
    assert isinstance(device, NoDevice)
    assert device.read_burst(9) == []
    assert device.write_burst([b"packet"]) == [b"packet"]
    device.close()
    setup = HostSetup(network, SW1)
    assert not setup.is_wanted
    setup.apply()
    setup.undo()
    nodes = Nodes(network)
    places = {row.place for row in views.counters(nodes.pumps[SW1], 1000)}
    assert places == {"core", "to-web1", "to-web2"}
    nodes.close()
