"""The addresses on the servers' side follow the role of the depot, and the depot probes by addresses of its own."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import trio
import trio.testing

from atmdepot.config.reading import find, load, parse
from atmdepot.config.units import InterfaceAddress, IpAddress
from atmdepot.depot.forwarding import Depot
from atmdepot.net.agents.depot import DepotAgent
from atmdepot.net.ethernet_parts import moving_at
from atmdepot.net.gateway import Gateway
from atmdepot.net.ownership import REPEAT
from atmdepot.net.ownership_keepalived import configuration
from atmdepot.net.owning import Ownership
from atmdepot.net.prober import Prober
from atmdepot.net.servers_side import ServersSide
from tests.net.test_ownership import seat

if TYPE_CHECKING:
    from pathlib import Path

ADDRESSES = [InterfaceAddress.parse("10.62.0.1/24"), InterfaceAddress.parse("fd00:62::1/64")]
OWN = [socket.inet_aton("10.62.0.2"), socket.inet_pton(socket.AF_INET6, "fd00:62::2")]
MAC = bytes.fromhex("020000000001")


class Noted(Gateway):
    """A gateway that notes when its addresses are set (True) or taken away."""

    def __init__(self) -> None:
        super().__init__("eth1", ADDRESSES)
        self.noted: list[tuple[float, bool]] = []

    def set(self, here: bool) -> None:
        self.noted.append((round(trio.current_time() - self.began, 3), here))
        self.trouble = "no room" if here else ""

    began = 0.0

    def take(self) -> list[tuple[float, bool]]:
        taken, self.noted = self.noted, []
        return taken


async def test_addresses_come_with_the_role_are_told_again_and_go_with_it(
        tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    made, gateway = seat(tmp_path), Noted()
    side = ServersSide(made, [gateway])
    gateway.began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(side._follow)
        await trio.sleep(5)
        assert gateway.take() == [(0, False)], "what an earlier life has left goes"
        made.roles.granted(made.clock())
        await trio.sleep(3 + REPEAT)
        assert gateway.take() == [(5, True), (6, True), (7, True), (7 + REPEAT, True)]
        assert made.roles.servers_side_trouble == "no room"
        made.roles.revoked(made.clock())
        await trio.sleep(1)
        assert gateway.take() == [(8 + REPEAT, False)]
        assert made.roles.servers_side_trouble == ""
        nursery.cancel_scope.cancel()


async def test_a_depot_that_hung_waits_for_news_before_it_takes_the_addresses_again(
        tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    made, gateway = seat(tmp_path), Noted()
    side = ServersSide(made, [gateway])
    gateway.began = trio.current_time()
    made.roles.granted(made.clock())
    for news, then in ((False, True), (True, False)):
        async with trio.open_nursery() as nursery:
            side._hung = True  # as its guard tells
            nursery.start_soon(side._follow)
            await trio.sleep(0.5)
            if news:
                made.roles.revoked(made.clock())
            await trio.sleep(1)
            first, *later = [here for _, here in gateway.take()]
            assert (first, set(later)) == (False, {then})
            nursery.cancel_scope.cancel()


def test_a_depot_whose_servers_have_no_way_back_is_not_ready_and_says_why() -> None:
    text = find("ethernet-standby").read_text(encoding="utf-8")
    depot = Depot(parse(text + '[probing]\nprobe = "none"\n'), 0, "depot1")
    assert DepotAgent(depot).not_ready() == ""
    depot.roles.servers_side_trouble = "10.62.0.1/24 on eth1: no room"
    assert DepotAgent(depot).not_ready() == "server_gateway: 10.62.0.1/24 on eth1: no room"


def test_keepalived_moves_the_clients_side_alone(tmp_path: Path) -> None:
    """Keepalived may be master at two depots when the clients' LAN is cut, and the servers' LAN is not."""
    assert "10.62.0.1" not in configuration(seat(tmp_path, server_gateway=ADDRESSES), tmp_path)


def test_addresses_that_move_are_no_ports_own() -> None:
    network = load("ethernet-standby")
    assert moving_at(network, "depot1", "eth1") == [
        socket.inet_aton("10.62.0.1"), socket.inet_pton(socket.AF_INET6, "fd00:62::1")]
    assert moving_at(network, "depot1", "eth9") == moving_at(load("ethernet"), "depot", "eth1") == []


def test_a_depot_of_a_set_probes_by_its_own_address_on_the_servers_lan() -> None:
    expected = {("ethernet-standby", "depot2"): ["10.62.0.2", "fd00:62::2"], ("ethernet", "depot"): [None, None]}
    for (table, node), own in expected.items():
        depot = Depot(load(table), 0, node)
        port: Any = depot.links["eth1"]
        port.opened(MAC, OWN, 1500)
        prober: Any = Prober(depot, SimpleNamespace())  # type: ignore[arg-type]
        server = depot.management.servers["web1"]
        families = socket.AF_INET, socket.AF_INET6
        assert [prober._on_servers_lan(server, family) for family in families] == own
        port.opened(MAC, [], 1500)
        assert [prober._on_servers_lan(server, family) for family in families] == [None, None], "not by a link-local"


def test_gateways_and_pools_of_rewritten_headers_move_at_the_port_of_their_servers() -> None:
    depot = Depot(load("rewrite-standby"), 0, "depot1")
    side = Ownership(depot, SimpleNamespace(clock=lambda: 0))._servers_side  # type: ignore[arg-type]
    assert side is not None
    gateway, = side.gateways
    assert (gateway.interface, gateway.addresses, gateway.answers_for) == (
        "eth1", ["10.63.0.1/24", "fd00:63::1/64"], ["10.71.0.1", "fd00:71::1"])


def test_a_depot_of_a_set_asks_servers_with_rewritten_headers_at_their_own_ends() -> None:
    """Answers to the address of a service go to the active depot."""
    ends = {"web1": ["10.70.0.11", "fd00:70::11"], "web2": ["10.70.0.12", "fd00:70::12"]}
    for table, node, is_set in (("rewrite-standby", "depot2", True), ("rewrite", "depot", False)):
        depot = Depot(load(table), 0, node)
        prober: Any = Prober(depot, SimpleNamespace())  # type: ignore[arg-type]
        for name, port in (("web1", 80), ("web2", 8080)):
            expected = [(address, port) if is_set else None for address in ends[name]]
            server = depot.management.servers[name]
            assert [prober._own_end(server, family, 80) for family in (socket.AF_INET, socket.AF_INET6)] == expected


async def test_a_probe_at_a_servers_own_end_is_no_session_of_the_depots() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        end = listener.getsockname()
        depot = Depot(load("rewrite-standby"), 0, "depot1")
        server = depot.management.servers["web2"]
        server.settings.address, server.settings.listen_port = [IpAddress.parse(end[0])], end[1]
        prober: Any = Prober(depot, SimpleNamespace(clock=lambda: 0))  # type: ignore[arg-type]
        async with prober._connected(server, "10.80.0.1", 80) as connection:
            assert connection.getpeername() == end
            assert not depot.probes
