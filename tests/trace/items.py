"""Items for tests: Hypothesis strategies, and a gallery with an item for every word of the filter.

Numbers, names and addresses come from small sets, so that filters match items.
"""

from __future__ import annotations

from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.net.events import Drop, FrameSeen, Missed, SessionChange
from atmdepot.trace.items import Cell, CrcVerdict, HecVerdict, Item, Pdu, Place, Session
from atmdepot.trace.names import UNNAMED, VcName
from atmdepot.wire.aal5 import cpcs_pdu
from atmdepot.wire.cell import CellHeader, Interface
from atmdepot.wire.frame_relay import Address, header_of
from atmdepot.wire.llc import Encapsulation, encapsulate
from atmdepot.wire.oam import OamPayload
from tests import ip_packets

TIME = 1_700_000_000_123_456_789
VPIS = 0, 1, 2, 300
VCIS = 0, 3, 4, 5, 16, 32, 40, 64, 65
LINKS = "to-web1", "to-web2", ""
NODES = "depot", "web1", ""
SERVERS = "web1", "web2"
V4 = "10.9.0.2", "10.9.1.7", "192.0.2.1"
V6 = "fd00::1", "fd00:0:0:1::9"
PORTS = 80, 443, 40000
ALL_FLAGS = 0xFF
NOWHERE = Place("", "", "in")

times = st.integers(TIME, TIME + 10 * 10**9)
places = st.builds(Place, st.sampled_from(NODES), st.sampled_from(LINKS), st.sampled_from(["in", "out"]))
vc_names = st.one_of(st.just(UNNAMED), st.builds(
    VcName, vp=st.sampled_from(["web1", "web2"]), server=st.sampled_from(["web1", "web2", "web1, web2"]),
    role=st.sampled_from(["", "session", "default", "CBR"]),
    encapsulation=st.sampled_from([None, Encapsulation.VC_MUX, Encapsulation.LLC])))
sessions = st.none() | st.builds(Session, st.integers(1, 3), st.sampled_from(SERVERS))
headers = st.builds(lambda header, gfc: header._replace(gfc=gfc if header.vpi < 256 else 0), st.builds(
    CellHeader, vpi=st.sampled_from(VPIS), vci=st.sampled_from(VCIS), pti=st.integers(0, 7), clp=st.integers(0, 1),
    gfc=st.just(0)), st.sampled_from([0, 0, 5]))


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """IP packets of a few hosts and ports."""
    addresses = draw(st.sampled_from([V4, V6]))
    source, destination = draw(st.sampled_from(addresses)), draw(st.sampled_from(addresses))
    kind, data = draw(st.sampled_from(["tcp", "udp", "ping", "other"])), draw(st.binary(max_size=60))
    if kind == "tcp":
        return ip_packets.tcp(source, draw(st.sampled_from(PORTS)), destination, draw(st.sampled_from(PORTS)),
                              draw(st.integers(0, 255)), data=data, dscp=draw(st.sampled_from([0, 46])))
    if kind == "udp":
        return ip_packets.udp(source, draw(st.sampled_from(PORTS)), destination, draw(st.sampled_from(PORTS)), data)
    if kind == "ping":
        return ip_packets.ping(source, destination, data)
    return ip_packets.ip(source, destination, 89, data)


@st.composite
def sdus(draw: st.DrawFn) -> bytes:
    """IP packets with and without LLC, ARP, and noise."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(st.binary(min_size=1, max_size=60))
    if kind == 1:
        return bytes.fromhex("AAAA030000000806") + bytes(28)
    encapsulation = Encapsulation.LLC if kind == 2 else Encapsulation.VC_MUX
    return encapsulate(draw(packets()), encapsulation)


def cell_of(header: CellHeader, payload: bytes, *, place: Place = NOWHERE, time: int = TIME,
            hec: HecVerdict = HecVerdict.GOOD, name: VcName = UNNAMED) -> Cell:
    """A cell whose octets agree with its header."""
    octets = header.pack(Interface.NNI if header.vpi > 255 else Interface.UNI) + payload
    return Cell(time, place, octets, header, hec, name)


def pdu_of(sdu: bytes, vpi: int = 1, vci: int = 64, *, place: Place = NOWHERE, time: int = TIME,
           begun: int = TIME) -> Pdu:
    """A good PDU."""
    octets = cpcs_pdu(sdu)
    header = CellHeader(vpi, vci, 1).pack(Interface.NNI)[:4]
    pdu = Pdu(time, begun, place, header, vpi, vci, octets)
    pdu.sdu, pdu.length, pdu.count, pdu.crc = sdu, len(sdu), len(octets) // 48, CrcVerdict.GOOD
    return pdu


def unfinished_pdu(octets: bytes, vpi: int = 1, vci: int = 64) -> Pdu:
    """A PDU whose last cell never came."""
    pdu = Pdu(TIME, TIME, NOWHERE, CellHeader(vpi, vci).pack(Interface.NNI)[:4], vpi, vci, octets)
    pdu.count, pdu.unfinished, pdu.problem = len(octets) // 48, True, DropReason.REASSEMBLY_TIMEOUT
    return pdu


@st.composite
def pdus(draw: st.DrawFn) -> Pdu:
    """PDUs of every fate; some CRCs are wrong on VCs that ignore it."""
    vpi, vci = draw(st.sampled_from(VPIS)), draw(st.sampled_from(VCIS))
    fate = draw(st.sampled_from(["good", "good", "good", "dynamips", "bad", "ignored", "unfinished", "bare"]))
    if fate == "unfinished":
        pdu = unfinished_pdu(bytes(48 * draw(st.integers(1, 3))), vpi, vci)
    else:
        pdu = pdu_of(draw(sdus()), vpi, vci, time=draw(times))
    if fate == "dynamips":
        pdu.crc = CrcVerdict.DYNAMIPS
    elif fate == "bad":
        pdu.crc, pdu.sdu = CrcVerdict.BAD, b""
        pdu.problem = draw(st.sampled_from([DropReason.CRC_ERROR, DropReason.LENGTH_ERROR]))
    elif fate == "ignored":
        pdu.crc = CrcVerdict.BAD
    elif fate == "bare":
        pdu.octets, pdu.length, pdu.crc = pdu.sdu, -1, CrcVerdict.ABSENT
    pdu.node, pdu.link, pdu.direction = draw(places)
    pdu.name, pdu.session = draw(vc_names), draw(sessions)
    pdu.clp, pdu.hec_corrected = draw(st.integers(0, 1)), draw(st.integers(0, 2))
    pdu.congested = not pdu.unfinished and draw(st.booleans())
    return pdu


@st.composite
def cell_payloads(draw: st.DrawFn) -> bytes:
    """Payloads of OAM cells, good and bad, and arbitrary payloads."""
    if draw(st.booleans()):
        return draw(st.binary(min_size=48, max_size=48))
    payload = OamPayload(draw(st.sampled_from([1, 1, 2, 8, 15, 5])), draw(st.sampled_from([0, 1, 4, 8, 3])), b"").pack()
    return payload if draw(st.booleans()) else payload[:-1] + bytes((payload[-1] ^ 1,))


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    """Cells, some of them with their PDU."""
    cell = cell_of(draw(headers), draw(cell_payloads()), place=draw(places), time=draw(times),
                   hec=draw(st.sampled_from(HecVerdict)), name=draw(vc_names))
    if not cell.is_oam and draw(st.booleans()):
        cell.position, cell.expected = draw(st.integers(1, 3)), draw(st.integers(0, 3))
        cell.pdu = draw(st.none() | pdus())
    return cell


@st.composite
def drops(draw: st.DrawFn) -> Drop:
    """Drops of every reason, with what was dropped, or its beginning."""
    reason = draw(st.sampled_from(DropReason))
    octets = {"cells": st.builds(lambda cell: cell.octets, cells()), "packets": packets(),
              "PDUs": sdus().map(cpcs_pdu), "datagrams": st.binary(max_size=80),
              "frames": st.binary(max_size=80)}[reason.unit]
    whole = draw(octets)
    kept = draw(st.sampled_from([whole, whole, b"", whole[:30], whole[:60]]))
    vc = draw(st.none() | st.tuples(st.sampled_from(VPIS), st.sampled_from(VCIS)))
    name = draw(st.sampled_from([reason.value, reason.value, "of-a-newer-daemon"]))
    return Drop(draw(times), draw(st.sampled_from(LINKS)), name, draw(st.integers(1, 5)), kept, vc,
                draw(st.sampled_from(NODES)))


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@st.composite
def session_changes(draw: st.DrawFn) -> SessionChange:
    """Changes of sessions, sometimes with an end that is no address."""
    addresses = draw(st.sampled_from([V4, V6]))
    client, service = (endpoint(draw(st.sampled_from(addresses)), draw(st.sampled_from(PORTS))) for _ in range(2))
    if draw(st.integers(0, 9)) == 0:
        client = draw(st.sampled_from(["", "nobody", "10.9.0.2", "10.9.0.2:http"]))
    return SessionChange(
        draw(times), draw(st.integers(1, 3)),
        draw(st.sampled_from(["known", "opened", "adopted", "inherited", "established", "closed", "revived",
                                  "gone"])),
        draw(st.sampled_from(["TCP", "UDP"])), client, service, draw(st.sampled_from(SERVERS)),
        draw(st.sampled_from(LINKS)), (draw(st.sampled_from(VPIS)), draw(st.sampled_from(VCIS))), "UBR.1",
        draw(st.sampled_from(["", "FIN"])), draw(st.sampled_from(NODES)))


missed = st.builds(Missed, times, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from(NODES))
items: st.SearchStrategy[Item] = st.one_of(cells(), pdus(), drops(), session_changes(), missed)


def gallery() -> list[Item]:
    """Items of every kind, made by hand."""
    place, name = Place("depot", "to-web1", "in"), VcName("web1", "web1, web2", "session")
    there = ip_packets.tcp("10.9.0.2", 80, "10.9.0.2", 80, ALL_FLAGS, data=b"x" * 1200, dscp=46)
    whole = pdu_of(there, 1, 64, place=place)
    whole.name, whole.session, whole.clp, whole.congested = name, Session(42, "web1"), 1, True
    bad = pdu_of(b"x", 1, 32, place=place)
    bad.crc, bad.sdu, bad.problem = CrcVerdict.BAD, b"", DropReason.LENGTH_ERROR
    cell = cell_of(CellHeader(1, 64, 3, 1), there[:48], place=place, name=name)
    cell.position, cell.expected, cell.pdu = 1, 2, whole
    oam = [cell_of(CellHeader(1, 64, pti), OamPayload(kind, function, b"").pack(), place=place)
           for pti, kind, function in ((5, 1, 0), (4, 1, 1), (5, 1, 4), (4, 1, 8), (5, 2, 0), (5, 8, 1), (5, 15, 0))]
    bad_oam = cell_of(CellHeader(1, 4), bytes(47) + b"\1")
    hecs = [cell_of(CellHeader(2, 40), bytes(48), hec=verdict) for verdict in HecVerdict]
    others = [cell_of(CellHeader(*numbers), bytes(48))
              for numbers in ((0, 0, 0, 1), (1, 6, 6), (2, 5), (0, 16), (1, 3))]
    six = [pdu_of(packet) for packet in (
        ip_packets.udp("fd00::1", 80, "fd00::2", 443), ip_packets.ping("fd00::1", "fd00::2"),
        ip_packets.ping("10.9.0.2", "10.9.0.3"), ip_packets.udp("10.9.0.3", 443, "10.9.0.2", 80),
        bytes.fromhex("AAAA030000000806") + bytes(28))]
    drops = [Drop(TIME, "to-web1", reason, 1, b"", None, "depot") for reason in DropReason]
    drops.append(Drop(TIME, "to-web1", DropReason.UNKNOWN_VC, 2, cell.octets, (1, 99), "depot"))
    drops.append(Drop(TIME, "", DropReason.NO_SESSION, 1, there[:256], None, "depot"))
    changes = [SessionChange(TIME, 42, event, "TCP", "10.9.0.2:40000", "10.80.0.1:80", "web1", "to-web1", (1, 64),
                             "UBR.1", "least load", "depot") for event in ("opened", "closed")]
    tagged = header_of(Address(200, de=True), 4) + there
    frames = [FrameSeen(TIME, "to-web1", "in", "frame-relay", octets, "depot") for octets in (tagged, b"\x05")]
    return [cell, *oam, bad_oam, *hecs, *others, whole, bad, unfinished_pdu(bytes(96)), *six, *frames, *drops, *changes,
            Missed(TIME, 3, 2, 1, "depot")]
