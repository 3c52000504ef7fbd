"""The words of a trace's filter, in a table from which the parser and the help are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.config.contract import ServiceCategory
from atmdepot.config.qos import DSCP_NAMES, parse_dscp
from atmdepot.drops import DropReason
from atmdepot.net.events import Drop, FrameSeen, SessionChange
from atmdepot.trace.filter import cell_tests, kinds, name_tests, packet_tests
from atmdepot.trace.filter.operands import (
    HOST,
    MAX_PORT,
    MAX_VCI,
    MAX_VPI,
    NAME,
    NETWORK,
    NONE,
    VC,
    Operand,
    choice,
    numbers,
)
from atmdepot.trace.items import Cell, CrcVerdict, HecVerdict, Pdu
from atmdepot.wire.aal5 import MAX_SDU, cells_needed
from atmdepot.wire.cell import FIRST_USER_VCI
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP
from atmdepot.wire.llc import ETHERTYPE_ARP
from atmdepot.wire.tcp import ACK, FIN, PSH, RST, SYN, URG

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from atmdepot.trace.filter.kinds import Factory
    from atmdepot.trace.names import VcBook


class Known(NamedTuple):
    """Names that a VC table gives: the kind (`what`) and the names."""

    what: str
    names: Callable[[VcBook], Collection[str]]


class Word(NamedTuple):
    """A word of the filter.

    `tests` makes its tests; `meaning` and `example` are for the help. `looks_inside`: a cell's answer is in its PDU,
    and known only with the last cell. `by_session`: a PDU's answer depends on the depot's reports of sessions. `known`
    are the names that its operand may have, if a table has names. `by_table`: nothing but a VC table, or a running
    node, tells the answer.
    """

    name: str
    operand: Operand
    tests: Factory
    meaning: str
    example: str
    looks_inside: bool = False
    by_session: bool = False
    known: Known | None = None
    by_table: bool = False

    @property
    def usage(self) -> str:
        """The word with its operand."""
        return f"{self.name} {self.operand.syntax}".rstrip()


def _read_dscp(text: str) -> frozenset[int]:
    try:
        return frozenset(parse_dscp(part) for part in text.split(","))
    except ValueError:
        raise ValueError("a DSCP is 0 to 63, or a name as ef, af41, cs1") from None


def _is_dscp(text: str) -> bool:
    return all(part.upper() in DSCP_NAMES or part.isdecimal() for part in text.split(","))


_ITEMS = Cell, Pdu, FrameSeen, Drop, SessionChange
_EVENTS = "known", "opened", "adopted", "inherited", "established", "closed", "revived", "gone"
_ROLES = "session", "default", "management", "permanent", *ServiceCategory
_MOST_SESSIONS = 10**18 - 1
_VERDICT = choice("verdict", {verdict.value: verdict for verdict in HecVerdict}, "VERDICT")
_CRC_VERDICT = choice("verdict", {"good": CrcVerdict.GOOD.value, "bad": CrcVerdict.BAD.value,
                                  "dynamips": CrcVerdict.DYNAMIPS.value, "absent": CrcVerdict.ABSENT.value}, "VERDICT")
_DSCP = Operand("N|EF|AF41|...", _read_dscp, _is_dscp)


def _reasons(unit: str = "") -> Operand:
    known = {reason.value: reason.value for reason in DropReason if unit in reason.unit}
    return choice("reason", known, "REASON")


_CELLS = [
    Word("vpi", numbers("a VPI", MAX_VPI), cell_tests.vpi, "the VPI", "vpi 1"),
    Word("vci", numbers("a VCI", MAX_VCI), cell_tests.vci, "the VCI", "vci 32-99"),
    Word("vc", VC, cell_tests.vc_numbers, "VPI and VCI; 1/64 alone does as well", "vc 1/64"),
    Word("pti", numbers("a PTI", 7), lambda allowed, _: kinds.on_header(
        lambda header: header.pti in allowed, lambda pdu: cell_tests.pti_of(pdu) in allowed),
        "the payload type; of a PDU, that of its last cell", "pti 5"),
    Word("clp", choice("CLP", {"0": 0, "1": 1}), lambda allowed, _: kinds.on_header(
        lambda header: header.clp in allowed, lambda pdu: pdu.clp in allowed),
        "the CLP bit; of a PDU, the OR over its cells", "clp 1"),
    Word("gfc", numbers("a GFC", 15), lambda allowed, _: kinds.on_header(lambda header: header.gfc in allowed),
         "the GFC at a UNI", "gfc 0"),
    Word("efci", NONE, cell_tests.header(lambda header: header.congested, lambda pdu: pdu.congested),
         "congestion experienced; of a PDU, in its last cell", "efci"),
    Word("eom", NONE, cell_tests.header(lambda header: header.is_last, lambda pdu: not pdu.unfinished),
         "the last cell of a PDU; a PDU that has one", "eom"),
    Word("user", NONE, cell_tests.header(lambda header: header.is_user_data, lambda pdu: pdu.vci >= FIRST_USER_VCI),
         "user data on a VC that users may have", "user"),
    Word("idle", NONE, cell_tests.header(lambda header: header.is_idle), "idle and unassigned cells, VC 0/0", "idle"),
    Word("rm", NONE, cell_tests.header(lambda header: header.pti == 6), "resource management", "rm"),
    Word("signalling", NONE, cell_tests.reserved(5), "VCI 5", "signalling"),
    Word("ilmi", NONE, cell_tests.reserved(16, 0), "VC 0/16", "ilmi"),
    Word("hec", _VERDICT, cell_tests.hec, "good, corrected, bad, absent (in the capture); of a PDU: good or corrected",
         "hec bad"),
    Word("oam", NONE, lambda _, book: cell_tests.oam([], book), "OAM cells, F4 and F5", "oam"),
    Word("oam", choice("kind of OAM cell", cell_tests.OAM_KINDS, "KIND", many=True), cell_tests.oam,
         "OAM of a kind, or several kinds at once (oam f5 ais): " + ", ".join(cell_tests.OAM_KINDS), "oam ais"),
    Word("bad", NONE, cell_tests.bad, "a wrong HEC or CRC-10, a PDU that a receiver drops, every drop", "bad"),
]

_PDUS = [
    Word("crc", _CRC_VERDICT, packet_tests.crc, "good (also by Dynamips' rule, where it holds), dynamips, bad, absent",
         "crc bad", True),
    Word("cells", numbers("a number of cells", cells_needed(MAX_SDU)),
         packet_tests.pdu_word(lambda allowed, pdu: pdu.count in allowed),
         "the number of its cells", "cells 2-32", True),
    Word("length", numbers("a Length", MAX_SDU),
         packet_tests.pdu_word(lambda allowed, pdu: packet_tests.length_of(pdu) in allowed),
         "the Length of its SDU in octets", "length 1000-", True),
    Word("unfinished", NONE, packet_tests.pdu_word(lambda _, pdu: pdu.unfinished), "its last cell never came",
         "unfinished", True),
    Word("problem", NONE, packet_tests.pdu_word(lambda _, pdu: pdu.problem is not None), "a receiver would drop it",
         "problem", True),
    Word("problem", _reasons("PDUs"), packet_tests.pdu_word(lambda reasons, pdu: pdu.problem in reasons),
         "a receiver would drop it for this reason", "problem length-error", True),
]


def _of_an_end(side: str, end: str) -> list[Word]:
    pre = f"{side} " if side else ""
    return [
        Word(f"{pre}host", HOST, packet_tests.host(side), f"the address of {end}, and the port if one is given",
             f"{pre}host 10.9.0.2", True),
        Word(f"{pre}net", NETWORK, packet_tests.net(side), f"the network of {end}", f"{pre}net 10.9.0.0/16", True),
        Word(f"{pre}port", numbers("a port", MAX_PORT), packet_tests.port(side), f"the TCP or UDP port of {end}",
             f"{pre}port 80", True),
    ]


_PROTOCOLS = {"tcp": ("TCP", PROTOCOL_TCP), "udp": ("UDP", PROTOCOL_UDP), "icmp": ("ICMP", PROTOCOL_ICMP),
              "icmp6": ("ICMPv6", PROTOCOL_ICMPV6)}
_FLAGS = {"syn": SYN, "fin": FIN, "rst": RST, "psh": PSH, "ack": ACK, "urg": URG}

_PACKETS = [
    *_of_an_end("", "either end"),
    *_of_an_end("src", "the sender"),
    Word("src", HOST, packet_tests.host("src"), "the same as src host", "src 10.9.0.2", True),
    *_of_an_end("dst", "the receiver"),
    Word("dst", HOST, packet_tests.host("dst"), "the same as dst host", "dst 10.9.0.2", True),
    *(Word(name, NONE, packet_tests.protocol(number), told, name, True) for name, (told, number) in _PROTOCOLS.items()),
    Word("ip", NONE, packet_tests.version(4), "IPv4", "ip", True),
    Word("ip6", NONE, packet_tests.version(16), "IPv6", "ip6", True),
    Word("arp", NONE, packet_tests.pdu_word(lambda _, pdu: bool(pdu.sdu) and pdu.carried.ethertype == ETHERTYPE_ARP),
         "ARP in LLC/SNAP", "arp", True),
    Word("proto", numbers("an IP protocol", 255), lambda allowed, _: kinds.on_flow(lambda flow: flow[0] in allowed),
         "the IP protocol's number", "proto 6", True),
    Word("dscp", _DSCP, lambda allowed, _: kinds.on_packet(lambda packet: packet.dscp in allowed), "the DSCP",
         "dscp ef", True),
    *(Word(name, NONE, packet_tests.flag(bit), f"TCP with {name.upper()}, whatever other flags it has", name, True)
      for name, bit in _FLAGS.items()),
]

_PLACES = [
    Word("link", NAME, name_tests.attribute("link", *_ITEMS), "the link", "link to-web1"),
    Word("node", NAME, name_tests.attribute("node", *_ITEMS), "the node that saw it", "node depot",
         known=Known("node", lambda book: book.nodes)),
    Word("dir", choice("direction", {"in": "in", "out": "out"}),
         name_tests.attribute("direction", Cell, Pdu, FrameSeen), "into the node, or out of it", "dir in"),
    Word("vc", NAME, lambda names, book: kinds.on_name(lambda name: name.vp in names, book),
         "the VP's name in the VC table", "vc web1", known=Known("VP", lambda book: book.vps), by_table=True),
    Word("server", NAME, name_tests.server, "the session's server, or those at the VP's end", "server web1",
         by_session=True, known=Known("server", lambda book: book.servers), by_table=True),
    Word("role", choice("role", {role.lower(): role for role in _ROLES}, "ROLE"),
         lambda roles, book: kinds.on_name(lambda name: name.role in roles, book),
         "what the VC table has the VC for: session, default, management, permanent, or a service category",
         "role session", by_table=True),
]

_TOLD = [
    Word("session", numbers("a session", _MOST_SESSIONS), name_tests.session,
         "a session's PDUs, and what becomes of it", "session 42", True, by_session=True),
    Word("session", NONE, lambda _, __: {SessionChange: True}, "all changes of sessions", "session"),
    Word("session", choice("event", {event: event for event in _EVENTS}, "EVENT"),
         lambda events, _: {SessionChange: lambda change: change.event in events},
         "changes of one kind: " + ", ".join(_EVENTS), "session closed"),
    Word("drop", NONE, lambda _, __: {Drop: True}, "whatever a node did not forward", "drop"),
    Word("drop", _reasons(), lambda reasons, _: {Drop: lambda drop: drop.reason in reasons},
         "what it dropped for this reason, one of docs/counters.md", "drop unknown-vc"),
]

GROUPS: dict[str, list[Word]] = {
    "Cells, and the PDUs made of them": _CELLS,
    "PDUs, and cells whose PDU is complete": _PDUS,
    "IP packets": _PACKETS,
    "Places and names": _PLACES,
    "What a node tells": _TOLD,
}
WORDS = [word for words in GROUPS.values() for word in words]

ALIASES = {"portrange": "port", "src portrange": "src port", "dst portrange": "dst port", "ipv4": "ip", "ipv6": "ip6",
           "icmpv6": "icmp6"}
OTHER_NAMES = {"greater": "length N-", "less": "length 0-N", "len": "length", "last": "eom", "oamf4": "oam f4",
               "oamf4s": "oam f4 segment", "oamf4e": "oam f4 end-to-end", "metac": "vci 1", "bcc": "vci 2",
               "sc": "signalling", "ilmic": "ilmi", "congestion": "efci", "connectmsg": "signalling"}
"""Names that tcpdump and other tools use, and the words here."""
PROTOCOL_WORDS = frozenset(("ip", "ip6", *_PROTOCOLS))
"""Words that belong to the word after them: in `tcp port 80 or 443` both ports are TCP's."""


def _by_name() -> dict[str, list[Word]]:
    found: dict[str, list[Word]] = {}
    for word in WORDS:
        found.setdefault(word.name, []).append(word)
    return found | {alias: found[name] for alias, name in ALIASES.items()}


BY_NAME = _by_name()
"""The rows of the table for each word; the operand selects the row, or the last row if no row's operand fits."""
