"""An edge node with a TAP device: Ethernet frames of its bridged VP, as they are.

The host's kernel is the station: it has the addresses, asks for those of others, and routes or bridges. All frames take
the default VC; the management VC has the node's statistics as ever. Of several depots the one that is followed has
the frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.drops import DropReason
from atmdepot.edge.node import EdgeNode
from atmdepot.wire.ethernet import HEADER_SIZE

if TYPE_CHECKING:
    from atmdepot.wire.offload import PlainFrame

_VLAN_TAG = 4


class TapEdgeNode(EdgeNode):
    """The data path of an edge node whose packets are frames."""

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Take cells (a multiple of 53 octets) from the link."""
        for sdu in self.links[name].receive(octets, now):  # type: ignore[attr-defined]  # all ports are of ATM
            way = next((way for way in self.ways if sdu.vc is way.table.management), None)
            if way is not None:
                self._message_from_depot(way, sdu.octets, now)
            else:
                self.packets_out.append(sdu.octets)

    def packets_from_host(self, packets: list[bytes | PlainFrame], now: int) -> None:
        """Take the frames that the TAP device gave."""
        for octets in packets:
            assert isinstance(octets, bytes)  # the device has no offload
            self.packet_from_tun(octets, now)

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Take a frame from the TAP device; time in ns."""
        self.rx_packets += 1
        self.rx_octets += len(octets)
        if len(octets) > self.mtu + HEADER_SIZE + _VLAN_TAG:
            self.drops.count(DropReason.TOO_BIG, 1, octets)
            return
        following = self.ways[0].following
        for way in following.ways if following.is_bridged else (following.chosen(now),):
            way.link.send(octets, way.table.default, 0)
