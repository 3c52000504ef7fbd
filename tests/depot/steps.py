"""The cost of one SYN, in lines of Python and calls of C functions: run by test_balancing_steps, uncompiled.

Counts depend on nothing but the code; what a compiled depot does for a SYN is the same.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import msgspec

from atmdepot.config.units import Duration
from atmdepot.depot.balancing.registry import BALANCERS
from tests.depot.servers import kill, revive
from tests.ip_packets import SYN, tcp
from tests.network_in_memory import SECOND, VIP4, InMemoryNetwork, make_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from atmdepot.depot.servers import Server


class Steps:
    """Counts lines and calls of C functions while it is entered."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self.count = 0
        sys.setprofile(self._called)
        sys.settrace(self._traced)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, argument: object) -> None:
        self.count += event == "c_call"

    def _traced(self, frame: FrameType, event: str, argument: object) -> Any:
        self.count += event == "line"
        return self._traced


def network_of(balancing: str, count: int) -> InMemoryNetwork:
    """A network of many servers that start slowly, each with room for one session."""
    network = make_network(servers=count, tables=f'balancing = "{balancing}"\n[sessions]\nhalf_open = "50s"')
    for number, name in enumerate(network.servers):
        network.servers[name] = msgspec.structs.replace(
            network.servers[name], max_sessions=1, weight=1 + number % 3, slow_start=Duration(10 * SECOND))
    return InMemoryNetwork(network)


def happenings(net: InMemoryNetwork) -> Iterator[None]:
    """Changes between two SYNs: servers die, come back, start slowly, fill up, nearly all of them are dead."""
    servers: list[Server] = list(net.depot.management.servers.values())
    count = len(servers)
    for _ in range(2):
        yield
    for server in servers[::3]:
        kill(server, net.now)
        yield
    for server in servers[::3]:
        revive(server, net.now)
        net.now += SECOND // 2
        yield
    for _ in range(count):  # until all are full
        yield
    net.advance(100 * SECOND)
    for server in servers[2:]:
        kill(server, net.now)
    for _ in range(5):
        yield
    for server in servers[2:]:
        revive(server, net.now)
        net.now += SECOND // 10
        yield


def most_steps(balancing: str, count: int) -> int:
    """The most steps that a SYN took."""
    net = network_of(balancing, count)
    steps, most = Steps(), 0
    for number, _ in enumerate(islice(happenings(net), 5 * count)):
        packet = tcp(f"10.9.{number >> 8}.{number & 255}", 4000, VIP4, 80, SYN, seq=1)
        with steps:
            net.depot.packet_from_tun(packet, net.now)
        most = max(most, steps.count)
        net.settle()
    return most


if __name__ == "__main__":
    json.dump({balancing: {count: most_steps(balancing, count) for count in map(int, sys.argv[1:])}
               for balancing in BALANCERS}, sys.stdout)
