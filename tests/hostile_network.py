"""A depot, a switch and edge nodes with all that a VC table can turn on, under hostile cells: none may raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pyasn1.codec.ber import encoder
from pyasn1_modules import rfc1157

from atmdepot.atm.sar import segment_sdu
from atmdepot.atm.vc import Vc
from atmdepot.bearer.adaptation import LinkAdaptation
from atmdepot.config.reading import parse
from atmdepot.net.kinds import make_node
from atmdepot.wire import offload
from atmdepot.wire.announcement import Announcement, Claim, Flows, Recall, ToldFlow
from atmdepot.wire.arp import Arp
from atmdepot.wire.bridging import Fcs, bridged_sdu
from atmdepot.wire.cell import CELL_SIZE, header_with_hec
from atmdepot.wire.discovery import ADVERTISEMENT, SOLICITATION, Discovery
from atmdepot.wire.ethernet import BROADCAST, Frame
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Encapsulation
from atmdepot.wire.oam import ActivationFunction, FaultFunction, OamFlow
from atmdepot.wire.oam_messages import (
    Activation,
    Backward,
    ContinuityCheck,
    Defect,
    Direction,
    Forward,
    Loopback,
    Request,
)
from atmdepot.wire.statistics import ServerState, Statistics
from tests.network_in_memory import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from atmdepot.node.node import Node

NODES = {"depot": "a", "web1": "b", "web2": "c", "web3": "d", "depot2": "e"}
"""The nodes around the switch, each with the name of its link to it."""


class Variant(NamedTuple):
    """The differences from table to table: of all links the rate, of the VP to web1 how it carries packets."""

    rate: str = ""
    encapsulation: str = "vc-mux"
    fcs: str = "auto"


VARIANTS = (Variant(), Variant('rate = "oc3"'), Variant("", "llc-bridged", "yes"),
            Variant('rate = "30kcps"', "vc-mux-bridged"), Variant('rate = "30kcps"', "llc"))


def table_of(variant: Variant) -> str:
    """The text of the VC table."""
    lines = ['name = "hostile"', "[nodes.sw]", 'kind = "switch"']
    for number, (name, link) in enumerate(NODES.items(), 1):
        lines += [f"[nodes.{name}]", f'kind = "{"depot" if name.startswith("depot") else "edge"}"',
                  f'address = ["10.255.0.{number}", "fd00:255::{number}"]',
                  *(['tap = "tap0"', "mtu = 1500"] if name == "web2" else []),
                  f"[links.{link}]", f'ends = {{ {name} = "127.0.0.1:600{number}", sw = "127.0.0.1:700{number}" }}',
                  'supervise = "100ms"', "ilmi = true", variant.rate]
    lines += [
        "[vps.web1]", 'ends = ["depot", "web1"]', "vpi = 1", 'session_vcis = "64-65535"',
        f'encapsulation = "{variant.encapsulation}"', f'fcs = "{variant.fcs}"', "mtu = 1500", 'segments = ["sw"]',
        "continuity_check = true", "performance_monitoring = 128", 'contract = "cbr:pcr=20000"',
        "[vps.other]", 'ends = ["depot2", "web1"]', "vpi = 4", 'session_vcis = "64-70"', "mtu = 1500",
        "[depots.main]", 'nodes = ["depot"]',
        "[vps.web2]", 'ends = ["depot", "web2"]', "vpi = 2", 'encapsulation = "llc-bridged"', "mtu = 1500",
        "[vps.web3]", 'ends = ["depot", "web3"]', "vpi = 3", 'session_vcis = "64-65535"',
        "performance_monitoring = 128", *(line for name in ("web1", "web2", "web3")
                                          for line in (f"[servers.{name}]", f'node = "{name}"')),
        "[services.web]", 'vip = ["10.80.0.1", "fd00:80::1"]', "ports = [80]", 'protocols = ["tcp", "udp"]',
        'servers = ["web1", "web2", "web3"]',
        "[qos.contracts]", 'CBR = "cbr:pcr=2000"', '"rt-VBR.1" = "rt-vbr.1:pcr=4000,scr=1000,mbs=100"',
        "[sessions]", "max_sessions = 200", "max_half_open = 50",
        "[connects.x]", 'switch = "sw"', 'from = "a 9/100"', 'to = ["b 9/100", "d 9/100"]',
        'contract = "gfr.1:pcr=4000,mcr=100,mbs=200,mfs=40"']
    return "\n".join(lines)


def questions() -> list[bytes]:
    """SNMP messages as an ILMI peer sends them, and some that it does not."""
    asked = [("get-request", [(1, 3, 6, 1, 2, 1, 1, 3, 0)]), ("get-next-request", [(1, 3, 6)]),
             ("get-next-request", [(1, 3, 6, 1, 4, 1, 353, 2, 1, 1, 1, 1, 0)] * 8),
             ("set-request", [(1, 3, 6, 1, 4, 1, 353, 2)]), ("get-request", [(1, 3, 7)] * 30)]
    return [_question(kind, names) for kind, names in asked]


def _question(kind: str, names: Sequence[tuple[int, ...]]) -> bytes:
    message = rfc1157.Message()
    message["version"], message["community"] = 0, b"ILMI"
    pdu = message["data"][kind]
    pdu["request-id"], pdu["error-status"], pdu["error-index"] = 7, 0, 0
    bindings = pdu["variable-bindings"]
    bindings.clear()
    for number, name in enumerate(names):
        bindings[number]["name"] = name
        bindings[number]["value"]["simple"]["empty"] = b""
    octets: bytes = encoder.encode(message)
    return octets


class HostileNetwork:
    """The nodes of a variant, and a stranger at each link; `damaged` spoils octets, `packets` are what to spoil."""

    def __init__(
        self, variant: Variant, packets: Sequence[bytes], damaged: Callable[[Random, bytes], bytes],
    ) -> None:
        self.network = parse(table_of(variant))
        self.now = SECOND
        self.nodes: dict[str, Node] = {name: make_node(self.network, name, self.now) for name in ("sw", *NODES)}
        self._packets, self._damaged, self._questions = packets, damaged, questions()

    def round(self, random: Random) -> None:
        """Let time pass, and packets, cells and timers come in any order."""
        self.now += random.choice((0, 1000, SECOND // 1000, SECOND // 10, SECOND, 3 * SECOND, 400 * SECOND))
        for node in self.nodes.values():
            node.keep_frames(random.random() < 0.5)
        for name in random.choices(list(NODES), k=random.randrange(6)):
            self.nodes[name].packet_from_tun(self._damaged(random, random.choice(self._packets)) or b"\0", self.now)
        for node in self.nodes.values():
            for link in node.links:
                if random.random() < 0.4:
                    node.octets_from_port(link, self.cells(random), self.now)
            if (due := node.next_timer()) is not None and due <= self.now:
                node.handle_timer(self.now)
            if random.random() < 0.1:
                node.start(self.now)
            if random.random() < 0.05:
                node.stood_still(random.randrange(SECOND), self.now)
        self._carry(random)

    def _carry(self, random: Random) -> None:
        """Carry what waits on each link, or lose it."""
        for name, node in self.nodes.items():
            for link, port in node.links.items():
                cells = port.transmit(self.now)
                assert len(cells) % CELL_SIZE == 0
                if random.random() < 0.9:
                    self.nodes[self.network.links[link].other_end(name)].octets_from_port(link, cells, self.now)
            node.ready.clear()
            packets = node.take_packets()
            if name != "web2":  # a TAP device takes frames of Ethernet
                offload.packets_of(packets)

    def cells(self, random: Random) -> bytes:
        """A stranger's datagram."""
        kinds = (self._any_cell, self._oam_cell, self._bridged, self._snmp, self._packet, self._message)
        return b"".join(random.choice(kinds)(random) for _ in range(random.randrange(1, 12)))

    def _channel(self, random: Random) -> tuple[int, int]:
        return (random.choice((0, 1, 1, 2, 3, 3, 4, 9, random.randrange(256))),
                random.choice((0, 3, 4, 5, 6, 16, 32, 33, 64, 65, 100, random.randrange(65536))))

    def _any_cell(self, random: Random) -> bytes:
        if random.random() < 0.5:
            return random.randbytes(CELL_SIZE)
        vpi, vci = self._channel(random)
        return header_with_hec((vpi << 20 | vci << 4 | random.randrange(16)).to_bytes(4, "big")) + random.randbytes(48)

    def _oam_cell(self, random: Random) -> bytes:
        def bits(count: int) -> int:
            return random.randrange(1 << count)

        place = random.choice((b"\xff" * 16, bytes(16), random.randbytes(16)))
        message = random.choice((
            Loopback(random.random() < 0.7, bits(32), place, random.randbytes(16)), ContinuityCheck(),
            Defect(random.choice((FaultFunction.AIS, FaultFunction.RDI)), location=place),
            Activation(random.choice(list(ActivationFunction)), random.choice(list(Request)),
                       random.choice(list(Direction)), bits(8), bits(4), bits(4)),
            Forward(bits(8), bits(16), bits(16), bits(16)),
            Backward(bits(8), bits(16), bits(16), bits(8), bits(8), bits(16), bits(8), bits(16))))
        payload = bytearray(message.pack())
        if random.random() < 0.3:
            payload[random.randrange(48)] ^= 1 << random.randrange(8)
        vpi, vci = self._channel(random)
        flow = random.choice(list(OamFlow))
        return flow.header(vpi, 0 if flow.is_of_vp else vci) + bytes(payload)

    def _bridged(self, random: Random) -> bytes:
        macs = [BROADCAST, random.randbytes(6), *(
            bridge.mac for node in self.nodes.values() for port in node.links.values()
            if isinstance(port, LinkAdaptation) for bridge in port.bridges if hasattr(bridge, "mac"))]

        def mac() -> bytes:
            return random.choice(macs)

        def ip4() -> bytes:
            return random.choice((b"\x0a\xff\0\1", b"\x0a\xff\0\2", random.randbytes(4)))

        def ip6() -> bytes:
            return random.choice((bytes.fromhex("fd000255" + "00" * 11 + "01"), bytes(16), random.randbytes(16)))

        ethertype, payload = random.choice((
            (ETHERTYPE_ARP, Arp(random.choice((1, 2, 3)), mac(), ip4(), mac(), ip4()).pack()),
            (ETHERTYPE_IPV6, Discovery(random.choice((SOLICITATION, ADVERTISEMENT)), ip6(), ip6(), ip6(),
                                       random.choice((None, mac())), random.random() < 0.5,
                                       random.random() < 0.5).pack()),
            (random.choice((ETHERTYPE_IPV4, ETHERTYPE_IPV6, random.randrange(65536))),
             self._damaged(random, random.choice(self._packets)))))
        frame = Frame(mac(), mac(), ethertype, payload).pack()
        if random.random() < 0.4:
            frame = self._damaged(random, frame)
        encapsulation = random.choice((Encapsulation.LLC_BRIDGED, Encapsulation.VC_MUX_BRIDGED))
        return self._train(random, self._damaged(random, bridged_sdu(frame, encapsulation, random.choice(list(Fcs)))))

    def _snmp(self, random: Random) -> bytes:
        return segment_sdu(self._damaged(random, random.choice(self._questions)) or b"\0", Vc(0, 16), 0)

    def _message(self, random: Random) -> bytes:
        """Messages of depots and edge nodes on the management VC."""
        def flow(size: int) -> ToldFlow:
            key = random.choice((random.randbytes(size), b"\6\x0a\x09\0\2\x13\x88\x0a\x50\0\1\0\x50"))
            return ToldFlow(key, random.choice((32, 33, 64, 65, random.randrange(65536))), random.choice((0, 9, 65535)))

        asked = self.nodes["depot"].recall._asked.values()  # type: ignore[attr-defined]
        number = random.choice((random.randrange(1 << 32), *(one.number for one in asked)))
        told = sorted((flow(random.choice((13, 37))) for _ in range(random.randrange(9))), key=lambda one: len(one.key))
        message = random.choice((
            Announcement(random.choice(("main", "depot2", "x")), random.choice(("depot", "depot2")),
                         random.choice((1, 2, 2**63 - 1, random.randrange(1, 2**63))), random.randrange(1, 60_001),
                         Claim(random.randrange(4))),
            Recall(random.randrange(1 << 32), random.choice((0, 1, random.randrange(1 << 32)))),
            Flows(number, random.choice((0, 1, random.randrange(1 << 32))), random.random() < 0.5, told),
            Statistics(ServerState.ACCEPTS, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, term=random.randrange(1 << 64),
                       follows=random.choice(("", "depot", "depot2", "x" * 32)))))
        octets = self._damaged(random, message.pack()) if random.random() < 0.3 else message.pack()
        return segment_sdu(octets or b"\0", Vc(random.randrange(1, 5), 33), 0)

    def _packet(self, random: Random) -> bytes:
        return self._train(random, self._damaged(random, random.choice(self._packets)))

    def _train(self, random: Random, sdu: bytes) -> bytes:
        return segment_sdu(sdu[:60_000] or b"\0", Vc(*self._channel(random)), random.randrange(2))
