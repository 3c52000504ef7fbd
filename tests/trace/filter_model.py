"""The meaning of each word of the filter, said once more and plainly; and operands for it."""

from __future__ import annotations

import ipaddress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from atmdepot.drops import DropReason
from atmdepot.net.events import Drop, Missed, SessionChange
from atmdepot.trace.items import Cell, CrcVerdict, HecVerdict, Item, Pdu
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.oam import crc10
from atmdepot.wire.packet import analyse
from tests.trace import items as made

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.wire.packet import Packet


def pdu_in(item: Item) -> Pdu | None:
    return item.pdu if isinstance(item, Cell) else item if isinstance(item, Pdu) else None


def unit(drop: Drop) -> str:
    return next((reason.unit for reason in DropReason if reason.value == drop.reason), "")


def header_in(item: Item) -> CellHeader | None:
    """Of cells, and of drops that hold a whole one."""
    if isinstance(item, Cell):
        return item.header
    if not isinstance(item, Drop) or unit(item) != "cells" or len(item.octets) < 53:
        return None
    word = int.from_bytes(item.octets[:4], "big")
    vpi, vci = item.vc or (word >> 20 & 0xFF, word >> 4 & 0xFFFF)
    return CellHeader(vpi, vci, word >> 1 & 7, word & 1, 0 if item.vc and vpi > 255 else word >> 28)


def vc_in(item: Item) -> tuple[int, int] | None:
    header = header_in(item)
    if header is not None:
        return header.vpi, header.vci
    if isinstance(item, Pdu):
        return item.vpi, item.vci
    return None if isinstance(item, Cell | Missed) else item.vc


def packet_in(item: Item) -> Packet | None:
    """Only of items whose packets are whole."""
    pdu = pdu_in(item)
    octets = b""
    if pdu is not None:
        return pdu.packet
    if isinstance(item, Drop) and unit(item) in ("packets", "PDUs"):
        octets = item.octets
        llc = tuple(map(bytes.fromhex, ("AAAA030000000800", "AAAA0300000086DD")))
        if unit(item) == "PDUs" and octets.startswith(llc):
            octets = octets[8:]
    try:
        return analyse(octets)
    except ValueError:
        return None


def flow_in(item: Item) -> tuple[int, str, int, str, int] | None:
    if isinstance(item, SessionChange):
        try:
            (client, cport), (service, sport) = (
                (ipaddress.ip_address(text.rsplit(":", 1)[0].strip("[]")), int(text.rsplit(":", 1)[1]))
                for text in (item.client, item.service))
        except (ValueError, IndexError):
            return None
        return {"TCP": 6, "UDP": 17}[item.protocol], str(client), cport, str(service), sport
    packet = packet_in(item)
    if packet is None:
        return None
    source, destination = (str(ipaddress.ip_address(one)) for one in (packet.source, packet.destination))
    return packet.protocol, source, packet.source_port, destination, packet.destination_port


def pti_in(item: Item) -> int | None:
    if isinstance(item, Pdu):
        return (0 if item.unfinished else 1) + (2 if item.congested else 0)
    header = header_in(item)
    return None if header is None else header.pti


def oam_in(item: Item) -> set[str]:
    """All kinds that an OAM cell is of."""
    header = header_in(item)
    if header is None or not (header.pti in (4, 5) or (header.vci in (3, 4) and header.pti < 4)):
        return set()
    assert isinstance(item, Cell | Drop)
    payload = item.octets[5:53]
    kinds = {"f5" if header.pti >= 4 else "f4",
             "segment" if header.pti == 4 or (header.pti < 4 and header.vci == 3) else "end-to-end"}
    kinds |= {0x10: {"ais"}, 0x11: {"rdi"}, 0x14: {"cc"}, 0x18: {"loopback"}}.get(payload[0], set())
    kinds |= {1: {"fm"}, 2: {"pm"}, 8: {"activation"}, 15: {"sm"}}.get(payload[0] >> 4, set())
    return kinds | (set() if crc10(payload[:46]) == int.from_bytes(payload[46:], "big") else {"bad"})


@lru_cache
def numbers_of(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        found |= set(range(int(first), (int(last) if last else 70000 if dash else int(first)) + 1))
    return found


def at_end(side: str, item: Item, test: Callable[[str, int], bool]) -> bool:
    flow = flow_in(item)
    if flow is None:
        return False
    return (side != "dst" and test(flow[1], flow[2])) or (side != "src" and test(flow[3], flow[4]))


def has_port(side: str, item: Item, text: str) -> bool:
    flow = flow_in(item)
    return flow is not None and flow[0] in (6, 17) and at_end(side, item, lambda _, port: port in numbers_of(text))


def is_host(side: str, item: Item, text: str) -> bool:
    return at_end(side, item, lambda address, _: address == text)


def is_in_net(side: str, item: Item, text: str) -> bool:
    return at_end(side, item, lambda address, _: ipaddress.ip_address(address) in ipaddress.ip_network(text))


def has_flag(bit: int) -> Callable[[Item, str], bool]:
    def test(item: Item, _: str) -> bool:
        packet = packet_in(item)
        return packet is not None and packet.tcp is not None and bool(packet.tcp.flags & bit)

    return test


def protocol_is(*wanted: int) -> Callable[[Item, str], bool]:
    return lambda item, _: (flow_in(item) or (None,))[0] in wanted


def crc_is(item: Item, text: str) -> bool:
    wanted = set(text.split(","))
    if isinstance(item, Drop):
        return "bad" in wanted and item.reason == "crc-error"
    pdu = pdu_in(item)
    names = {CrcVerdict.GOOD: {"good"}, CrcVerdict.BAD: {"bad"}, CrcVerdict.ABSENT: {"absent"},
             CrcVerdict.DYNAMIPS: {"good", "dynamips"}}
    return pdu is not None and bool(names[pdu.crc] & wanted)


def hec_is(item: Item, text: str) -> bool:
    wanted = text.split(",")
    if isinstance(item, Cell):
        return item.hec in wanted
    if isinstance(item, Pdu):
        return ("corrected" if item.hec_corrected else "good") in wanted
    return isinstance(item, Drop) and item.reason == "hec-error" and "bad" in wanted


def server_is(item: Item, text: str) -> bool:
    if isinstance(item, SessionChange):
        return item.server == text
    if isinstance(item, Pdu) and item.session is not None:
        return item.session.server == text
    return isinstance(item, Cell | Pdu) and text in item.name.server.split(", ")


def length_is(item: Item, text: str) -> bool:
    pdu = pdu_in(item)
    if pdu is None or (pdu.unfinished and pdu.length < 0):
        return False
    return (pdu.length if pdu.length >= 0 else len(pdu.octets)) in numbers_of(text)


def is_wrong(item: Item, _: str) -> bool:
    if isinstance(item, Cell):
        return item.hec == "bad" or "bad" in oam_in(item)
    return isinstance(item, Drop) or (isinstance(item, Pdu) and item.problem is not None)


def reserved(item: Item, vci: int, vpi: int | None = None) -> bool:
    found, header = vc_in(item), header_in(item)
    if not isinstance(item, Pdu) and (header is None or header.pti >= 4):
        return False
    return found is not None and found[1] == vci and (vpi is None or found[0] == vpi)


def of_pdu(test: Callable[[Pdu, str], bool]) -> Callable[[Item, str], bool]:
    def model(item: Item, text: str) -> bool:
        pdu = pdu_in(item)
        return pdu is not None and test(pdu, text)

    return model


def of_header(test: Callable[[CellHeader], bool], pdu: Callable[[Pdu], bool] = lambda _: False) -> Any:
    def model(item: Item, _: str) -> bool:
        header = header_in(item)
        return pdu(item) if isinstance(item, Pdu) else header is not None and test(header)

    return model


def model_of_session(item: Item, text: str) -> bool:
    if text and not text[0].isdigit():
        return isinstance(item, SessionChange) and item.event in text.split(",")
    if isinstance(item, SessionChange):
        return not text or item.number in numbers_of(text)
    pdu = pdu_in(item)
    return bool(text) and pdu is not None and pdu.session is not None and pdu.session.number in numbers_of(text)


def model_of_vc(item: Item, text: str) -> bool:
    if "/" not in text:
        return isinstance(item, Cell | Pdu) and item.name.vp in text.split(",")
    vpi, vcis = text.split("/")
    found = vc_in(item)
    return found is not None and found[0] == int(vpi) and found[1] in numbers_of(vcis)


def clp_in(item: Item) -> int | None:
    return item.clp if isinstance(item, Pdu) else getattr(header_in(item), "clp", None)


def is_arp(pdu: Pdu, _: str) -> bool:
    return pdu.sdu.startswith(bytes.fromhex("AAAA030000000806")) and pdu.name.encapsulation != "vc-mux"


MODELS: dict[str, Callable[[Item, str], bool]] = {
    "vpi": lambda item, text: (vc_in(item) or (-1, -1))[0] in numbers_of(text),
    "vci": lambda item, text: (vc_in(item) or (-1, -1))[1] in numbers_of(text),
    "vc": model_of_vc,
    "pti": lambda item, text: pti_in(item) in numbers_of(text),
    "clp": lambda item, text: clp_in(item) in numbers_of(text),
    "gfc": lambda item, text: getattr(header_in(item), "gfc", -1) in numbers_of(text),
    "efci": of_header(lambda header: header.pti in (2, 3), lambda pdu: pdu.congested),
    "eom": of_header(lambda header: header.pti in (1, 3), lambda pdu: not pdu.unfinished),
    "user": of_header(lambda header: header.pti < 4 and header.vci >= 32, lambda pdu: pdu.vci >= 32),
    "idle": of_header(lambda header: header.vpi == header.vci == 0),
    "rm": of_header(lambda header: header.pti == 6),
    "signalling": lambda item, _: reserved(item, 5),
    "ilmi": lambda item, _: reserved(item, 16, 0),
    "hec": hec_is,
    "oam": lambda item, text: bool(oam_in(item)) and all(
        oam_in(item) & set(kinds.split(",")) for kinds in text.split()),
    "bad": is_wrong,
    "crc": crc_is,
    "cells": of_pdu(lambda pdu, text: pdu.count in numbers_of(text)),
    "length": length_is,
    "unfinished": of_pdu(lambda pdu, _: pdu.unfinished),
    "problem": of_pdu(lambda pdu, text: pdu.problem in text.split(",") if text else pdu.problem is not None),
    **{f"{side} {what}".strip(): partial(test, side)
       for side in ("", "src", "dst") for what, test in (("host", is_host), ("net", is_in_net), ("port", has_port))},
    "src": partial(is_host, "src"), "dst": partial(is_host, "dst"),
    "tcp": protocol_is(6), "udp": protocol_is(17), "icmp": protocol_is(1), "icmp6": protocol_is(58),
    "ip": lambda item, _: "." in str((flow_in(item) or ("", ""))[1]),
    "ip6": lambda item, _: ":" in str((flow_in(item) or ("", ""))[1]),
    "arp": of_pdu(is_arp),
    "proto": lambda item, text: (flow_in(item) or (-1,))[0] in numbers_of(text),
    "dscp": lambda item, text: getattr(packet_in(item), "dscp", -1) == {"ef": 46, "be": 0}[text],
    "fin": has_flag(1), "syn": has_flag(2), "rst": has_flag(4), "psh": has_flag(8), "ack": has_flag(16),
    "urg": has_flag(32),
    "link": lambda item, text: not isinstance(item, Missed) and item.link in text.split(","),
    "node": lambda item, text: item.node in text.split(","),
    "dir": lambda item, text: isinstance(item, Cell | Pdu) and item.direction in text.split(","),
    "server": server_is,
    "role": lambda item, text: isinstance(item, Cell | Pdu) and item.name.role.lower() == text,
    "session": model_of_session,
    "drop": lambda item, text: isinstance(item, Drop) and (not text or item.reason in text.split(",")),
}

OPERANDS: dict[str, list[str]] = {
    "vpi": ["1", "0-2", "300", "1,300", "2-"], "vci": ["64", "32-64", "3,4,5", "40-"],
    "vc": ["1/64", "0/0-16", "300/32,40-64", "web1", "web1,web2", "nobody"], "pti": ["0", "1", "2-5", "6,7"],
    "clp": ["0", "1", "0,1"], "gfc": ["0", "1-15"],
    "hec": [*HecVerdict, "bad,corrected", "good,absent"],
    "oam": ["", "ais", "rdi,cc", "f5 ais", "f4", "segment", "end-to-end f4", "loopback bad", "fm", "pm", "activation",
            "sm"],
    "crc": ["good", "bad", "dynamips", "absent", "bad,good"],
    "cells": ["1", "2-3", "2-"], "length": ["40", "1-50", "50-"],
    "problem": ["", "crc-error", "length-error,reassembly-timeout"],
    "session": ["", "1", "2-3", "42", "opened", "closed,gone", "known"],
    "drop": ["", "unknown-vc", "crc-error,no-session", "hec-error"],
    "link": ["to-web1", "to-web1,to-web2"], "node": ["depot", "depot,web1"], "dir": ["in", "out", "in,out"],
    "server": ["web1", "web2"], "role": ["session", "default", "cbr", "management"],
    "dscp": ["ef", "be"], "proto": ["6", "89", "1,17"],
    **{name: [*made.V4, *made.V6] for name in ("host", "src host", "dst host", "src", "dst")},
    **{f"{side}net": ["10.9.0.0/16", "10.9.1.0/24", "fd00::/64", "0.0.0.0/0", "::/0"] for side in ("", "src ", "dst ")},
    **{f"{side}port": ["80", "443,40000", "0-100", "100-"] for side in ("", "src ", "dst ")},
}
