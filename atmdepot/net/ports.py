"""The ports of a node as the kernel has them: how each kind is opened, by the `medium` of the bearer's port.

A new kind of port is a row here, beside its class in `net/` and its bearer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from atmdepot.atm.line import Line
from atmdepot.bearer.frame_line import FrameLine
from atmdepot.config.link_formats import FORMATS, End
from atmdepot.errors import AtmdepotError
from atmdepot.net.ethernet_parts import moving_at, sources_at
from atmdepot.net.keys import key_of
from atmdepot.net.line_link import FrameLineLink, LineLink
from atmdepot.net.relay_link import RelayLink
from atmdepot.net.udp_link import UdpLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.links import Line as LineSettings
    from atmdepot.config.links import Link
    from atmdepot.config.model import Network
    from atmdepot.net.line_link import PortLink
    from atmdepot.net.packet_port import PacketPort
    from atmdepot.node.node import Node
    from atmdepot.wire.link_format import LinkFormat


def has_link(node: Node, name: str) -> bool:
    """False for a port whose octets cross no socket: its packets go by the node's device."""
    return node.links[name].medium in OPEN


def open_port(network: Network, name: str, node: Node) -> PortLink:
    """Open a node's port, with what the VC table says of it; raise EnvironmentLacks."""
    return OPEN[node.links[name].medium](network, name, node)


def open_cells(network: Network, link: str, node: Node) -> PortLink:
    """A link's own end, with its line's rate, delay and impairments; raise EnvironmentLacks."""
    settings = network.links[link]
    drops, far = node.links[link].drops, settings.other_end(node.name)
    udp = UdpLink(link, settings.ends[node.name], settings.ends[far], settings.cells, drops,
                  any_interface=settings.source_check == "loose", form=_format(link, settings, node.name, far))
    return behind_line(network, link, node, udp)


def behind_line(network: Network, link: str, node: Node, udp: PortLink, live: LineSettings | None = None) -> PortLink:
    """A link behind its line, by the VC table and what is set live; the link itself where its line does nothing."""
    settings, port = network.links[link], node.links[link]
    line = settings.line_from(node.name, live)
    if port.is_timed and (live is None or live.rate is None):  # it keeps the table's rate itself
        line = replace(line, rate=None)
    if not (line.timed or line.impaired):
        return udp
    if port.medium == "cells":
        return LineLink(udp, Line(line, port.drops))
    return FrameLineLink(udp, FrameLine(line, port.drops))


def open_relay(network: Network, link: str, node: Node) -> PortLink:
    """A link's own end, a frame of Frame Relay in each datagram."""
    settings = network.links[link]
    return RelayLink(link, settings.ends[node.name], settings.ends[settings.other_end(node.name)],
                     node.links[link].drops, any_interface=settings.source_check == "loose")


def _format(name: str, settings: Link, own: str, far: str) -> LinkFormat | None:
    """The format of a link's datagrams; None for plain cells. Raises EnvironmentLacks as `key_of` does."""
    return FORMATS[settings.format].make(settings, End(own, far, key_of(f"link {name}", settings), time.time_ns()))


def open_frames(network: Network, name: str, node: Node) -> PortLink:
    """An interface, for servers on Ethernet; raise EnvironmentLacks."""
    from atmdepot.net.packet_port import PacketPort  # a depot without such servers does not need it

    port: Any = node.links[name]
    return PacketPort(port, sources_at(network, name), moving_at(network, node.name, name))


def renew_ports(links: dict[str, PortLink], node: Node, old: Network, new: Network) -> None:
    """Have open ports do what a table that was read again says; it takes the place of the old one.

    Raises EnvironmentLacks, and changes nothing, when one of them cannot.
    """
    done: list[str] = []
    try:
        for name, link in links.items():
            if node.links[name].medium == "frames" and sources_at(new, name) != sources_at(old, name):
                _packet_port(link).take_from(sources_at(new, name))
                done.append(name)
    except AtmdepotError:
        for name in done:
            _packet_port(links[name]).take_from(sources_at(old, name))
        raise


def _packet_port(link: PortLink) -> PacketPort:
    return cast("PacketPort", link.unlined())


OPEN: dict[str, Callable[[Network, str, Node], PortLink]] = {
    "cells": open_cells, "frame-relay": open_relay, "frames": open_frames}
"""By `Port.medium`: opens a node's port of a name."""
