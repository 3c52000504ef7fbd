"""Every kind of line, word for word; and that nothing that passes can do something to a terminal."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.drops import DropReason
from atmdepot.net.events import Cells, Drop, Missed, SessionChange
from atmdepot.printable import printable
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Cell, HecVerdict, Item, Pdu, Place, Session
from atmdepot.trace.names import VcName
from atmdepot.trace.show.clock import Stamp
from atmdepot.trace.show.printers import hex_lines
from atmdepot.trace.show.text import LinePrinter
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen
from atmdepot.wire.aal5 import CrcMode, cpcs_pdu
from atmdepot.wire.announcement import Announcement, Claim, Flows, Message, Recall, ToldFlow
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.llc import Encapsulation
from atmdepot.wire.oam import OamPayload
from atmdepot.wire.statistics import VERSION, ProxyFigures, ServerState, Statistics
from tests.aal5 import abort_pdu
from tests.atm.plain_reassembler import plain_crc32
from tests.ip_packets import ACK, FIN, PSH, RST, SYN, ip, ping, tcp, udp
from tests.trace import items as items_of_tests
from tests.trace.captures import cells_of, flipped, train_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT, VIP = "10.9.0.2", "10.80.0.1"
SYN_PACKET = tcp(CLIENT, 1000, VIP, 80, SYN, seq=100, window=64240)
GET = tcp(CLIENT, 1000, VIP, 80, PSH | ACK, seq=101, ack=301, data=b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
PLACE = re.compile(r"^l out  \d+/\d+ +")
TIME = 1_700_000_000_123_456_789


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are printed in the time zone of the machine."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def lines(*cells: bytes, follower: Follower | None = None, printer: LinePrinter | None = None,
          hec: HecMark = HecMark.RECORDED, end: bool = False) -> list[str]:
    """The lines of cells, without place and time."""
    follower = follower or Follower(cells=True)
    items = [item for octets in cells for item in follower.take(CapturedCells(0, "l", "out", octets, hec=hec))]
    items += follower.finish() if end else []
    printer = printer or LinePrinter(Stamp.NONE)
    return [PLACE.sub("", printer.line(item)) for item in items]


def pdu_line(sdu: bytes, *, quick: bool = False, **settings: object) -> str:
    """The line of a PDU that was segmented on a VC."""
    (line,) = lines(segment(sdu, Vc(1, 64, **settings)), follower=Follower(),  # type: ignore[arg-type]
                    printer=LinePrinter(Stamp.NONE, quick=quick))
    return line


# Time and place.


@pytest.mark.parametrize(("stamp", "first", "second", "third"), [
    (Stamp.CLOCK, "22:13:20.123456  ", "22:13:21.500000  ", "22:13:21.250000  "),
    (Stamp.NONE, "", "", ""),
    (Stamp.EPOCH, "1700000000.123456  ", "1700000001.500000  ", "1700000001.250000  "),
    (Stamp.DELTA, "0.000000  ", "1.376543  ", "-0.250000  "),
    (Stamp.DATE, "2023-11-14 22:13:20.123456  ", "2023-11-14 22:13:21.500000  ", "2023-11-14 22:13:21.250000  "),
    (Stamp.SINCE_FIRST, "0.000000  ", "1.376543  ", "1.126543  ")])
def test_stamps(stamp: Stamp, first: str, second: str, third: str) -> None:
    """As `-t` to `-ttttt` of tcpdump; a clock may go back."""
    printer = LinePrinter(stamp)
    told = [printer.line(Missed(at, 1)) for at in (TIME, 1_700_000_001_500_000_000, 1_700_000_001_250_000_000)]
    missed = "MISSED 1 cell: this trace was slower than the node"
    assert told == [first + missed, second + missed, third + missed]


def test_the_number_of_ts_is_the_stamp() -> None:
    assert [int(stamp) for stamp in (Stamp.CLOCK, Stamp.NONE, Stamp.EPOCH, Stamp.DELTA, Stamp.DATE,
                                     Stamp.SINCE_FIRST)] == [0, 1, 2, 3, 4, 5]


def test_times_follow_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XYZ-3")
    time.tzset()
    other_second = TIME + 5_000_000_000
    assert LinePrinter().line(Missed(other_second, 1)).startswith("01:13:25.123456  ")
    assert LinePrinter(Stamp.DATE).line(Missed(other_second, 1)).startswith("2023-11-15 01:13:25.123456  ")


@given(st.integers(-2**110, 2**110) | st.sampled_from([10**26, 10**27, -10**26]), st.sampled_from(Stamp))
def test_any_time_has_a_stamp(at: int, stamp: Stamp) -> None:
    """Captures may tell times that no calendar has."""
    printer = LinePrinter(stamp)
    assert printer.line(Missed(at, 1)).endswith("MISSED 1 cell: this trace was slower than the node")
    assert printer.line(Missed(0, 1)).isprintable()


@pytest.mark.parametrize(("node", "link", "nodes", "place"), [
    ("depot", "to-web1", True, "depot to-web1 out  1/64     "), ("depot", "to-web1", False, "to-web1 out  1/64     "),
    ("", "to-web1", True, "to-web1 out  1/64     "), ("", "", True, "out  1/64     ")])
def test_places(node: str, link: str, nodes: bool, place: str) -> None:
    printer = LinePrinter(Stamp.NONE, nodes=nodes)
    for item in Follower(cells=True).take(Cells(0, link, "out", segment(SYN_PACKET, Vc(1, 64)), node)):
        assert printer.line(item).startswith(place + ("user last" if isinstance(item, Cell) else "AAL5 1 cell"))


def test_columns_are_wide_enough_for_the_widest_vc() -> None:
    header = CellHeader(4095, 65535, 1)
    cell = Cell(0, Place("", "l", "in"), bytes(53), header, HecVerdict.GOOD)
    assert LinePrinter(Stamp.NONE).line(cell).startswith("l in   4095/65535 user last ")


# Cells.


@pytest.mark.parametrize(("vpi", "vci", "pti", "clp", "line"), [
    (1, 64, 0, 0, "user               CLP 0  HEC a3 good       first"),
    (1, 64, 1, 1, "user last          CLP 1  HEC aa good       last, 1"),
    (1, 64, 2, 0, "user EFCI          CLP 0  HEC bf good       first"),
    (1, 64, 3, 0, "user last EFCI     CLP 0  HEC b1 good       last, 1"),
    (1, 64, 4, 0, "OAM F5 segment     CLP 0  HEC 9b good       OAM type 0000 function 0000, CRC-10 good"),
    (1, 64, 5, 0, "OAM F5 end-to-end  CLP 0  HEC 95 good       OAM type 0000 function 0000, CRC-10 good"),
    (1, 64, 6, 0, "RM                 CLP 0  HEC 87 good"),
    (1, 64, 7, 0, "reserved           CLP 0  HEC 89 good"),
    (1, 1, 0, 0, "meta-signalling    CLP 0  HEC 87 good"),
    (1, 2, 0, 0, "broadcast signalling  CLP 0  HEC 17 good"),
    (1, 3, 0, 0, "OAM F4 segment     CLP 0  HEC 67 good       OAM type 0000 function 0000, CRC-10 good"),
    (1, 4, 0, 0, "OAM F4 end-to-end  CLP 0  HEC 30 good       OAM type 0000 function 0000, CRC-10 good"),
    (1, 5, 0, 0, "signalling         CLP 0  HEC 40 good       first"),
    (1, 5, 1, 0, "signalling last    CLP 0  HEC 4e good       last, 1"),
    (1, 5, 5, 0, "OAM F5 end-to-end  CLP 0  HEC 76 good       OAM type 0000 function 0000, CRC-10 good"),
    (1, 6, 6, 0, "RM                 CLP 0  HEC f4 good"),
    (1, 6, 0, 0, "VP RM              CLP 0  HEC d0 good"),
    (1, 7, 0, 0, "user               CLP 0  HEC a0 good"),
    (0, 16, 0, 0, "ILMI               CLP 0  HEC 40 good       first"),
    (1, 16, 0, 0, "user               CLP 0  HEC e2 good       first"),
    (0, 17, 0, 0, "LECS               CLP 0  HEC 30 good       first"),
    (0, 18, 1, 0, "PNNI last          CLP 0  HEC ae good       last, 1"),
    (0, 0, 0, 1, "idle               CLP 1  HEC 52 good"),
    (0, 0, 0, 0, "unassigned         CLP 0  HEC 55 good")])
def test_cells(vpi: int, vci: int, pti: int, clp: int, line: str) -> None:
    assert lines(CellHeader(vpi, vci, pti, clp).pack() + bytes(48))[0] == line


def test_a_loopback_cell() -> None:
    cell = CellHeader(1, 64, 5).pack() + bytes.fromhex("180100000001" + "FF" * 16 + "6A" * 24 + "0309")
    told = "OAM F5 end-to-end  CLP 0  HEC 95 good       loopback request, tag 00000001, at the end point, CRC-10"
    assert lines(cell) == [f"{told} good"]
    assert lines(flipped(cell, 423)) == [f"{told} bad"]
    ais = CellHeader(1, 4).pack() + OamPayload(1, 0, b"").pack()
    assert lines(ais) == ["OAM F4 end-to-end  CLP 0  HEC 30 good       AIS, CRC-10 good"]


def test_the_cells_of_a_pdu_have_places_in_it() -> None:
    first, *middle, last = cells_of(segment(udp(CLIENT, 1, VIP, 2, bytes(100)), Vc(1, 64)))
    assert [line.split("good", 1)[1].strip() for line in lines(first, *middle, last)[:-1]] == [
        "first of 3", "middle 2 of 3", "last, 3 of 3"]
    assert lines(first, last)[-2].endswith("  last, 2 of 3: 1 missing")
    lost = lines(first, *middle, first, *middle, last)
    assert lost[-2].endswith("  last, 5 of 3: a last cell is missing")
    assert [line.split("good", 1)[1].strip() for line in lines(*cells_of(segment(bytes(60), Vc(1, 64))))[:2]] == [
        "first", "last, 2"]


def test_wrong_headers() -> None:
    cell = segment(SYN_PACKET, Vc(1, 64))
    assert lines(flipped(cell, 39))[0] == "user last          CLP 0  HEC ac corrected  last, 1 of 1"
    assert lines(flipped(cell, 38, 39))[0] == "user last          CLP 0  HEC ae bad        a receiver discards it"
    assert lines(cell, hec=HecMark.ABSENT)[0] == "user last          CLP 0  HEC not captured  last, 1 of 1"


# PDUs.


@pytest.mark.parametrize(("sdu", "size", "packet"), [
    (SYN_PACKET, "1 cell, length 40, pad 0", "IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP [S] seq 100 win 64240 length 0"),
    (GET, "2 cells, length 68, pad 20",
     'IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP [P.] seq 101 ack 301 win 65535 length 28  "GET /a HTTP/1.1"'),
    (tcp("fd00:9::2", 1000, "fd00:80::1", 80, FIN | ACK, seq=2**32 - 1, ack=1), "2 cells, length 60, pad 28",
     "IPv6 [fd00:9::2]:1000 > [fd00:80::1]:80 TCP [F.] seq 4294967295 ack 1 win 65535 length 0"),
    (tcp(CLIENT, 1, VIP, 2, 0), "1 cell, length 40, pad 0",
     "IPv4 10.9.0.2:1 > 10.80.0.1:2 TCP [none] seq 0 win 65535 length 0"),
    (tcp(CLIENT, 1, VIP, 2, RST | ACK), "1 cell, length 40, pad 0",
     "IPv4 10.9.0.2:1 > 10.80.0.1:2 TCP [R.] seq 0 ack 0 win 65535 length 0"),
    (udp(CLIENT, 53, VIP, 4000, bytes(10)), "1 cell, length 38, pad 2",
     "IPv4 10.9.0.2:53 > 10.80.0.1:4000 UDP, 38 octets"),
    (ping(CLIENT, VIP), "1 cell, length 28, pad 12", "IPv4 10.9.0.2 > 10.80.0.1 ICMP, 28 octets"),
    (ping("fd00:9::2", "fd00:80::1"), "2 cells, length 48, pad 40", "IPv6 fd00:9::2 > fd00:80::1 ICMPv6, 48 octets"),
    (ip(CLIENT, VIP, 89, bytes(4)), "1 cell, length 24, pad 16", "IPv4 10.9.0.2 > 10.80.0.1 protocol 89, 24 octets"),
    (ip(CLIENT, VIP, 17, udp(CLIENT, 1, VIP, 2, bytes(8))[20:], identification=0xBEEF, fragment=0x2000),
     "1 cell, length 36, pad 4", "IPv4 10.9.0.2:1 > 10.80.0.1:2 UDP first fragment of beef, 36 octets"),
    (ip(CLIENT, VIP, 6, SYN_PACKET[20:], identification=7, fragment=0x2000), "1 cell, length 40, pad 0",
     "IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP first fragment of 0007 [S] seq 100 win 64240 length 0"),
    (ip(CLIENT, VIP, 6, bytes(8), identification=7, fragment=5), "1 cell, length 28, pad 12",
     "IPv4 10.9.0.2 > 10.80.0.1 TCP later fragment of 0007, 28 octets"),
    (SYN_PACKET[:30], "1 cell, length 30, pad 10", "header 20, total 40 and 30 octets contradict one another"),
    (b"hello", "1 cell, length 5, pad 35", "an IPv6 header has 40 octets, here are 5")])
def test_pdus(sdu: bytes, size: str, packet: str) -> None:
    assert pdu_line(sdu) == f"AAL5 {size}, CRC good: {packet}"


@pytest.mark.parametrize(("sdu", "line"), [
    (SYN_PACKET, "1 cell: IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP [S] length 0"),
    (GET, "2 cells: IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP [P.] length 28"),
    (ping(CLIENT, VIP), "1 cell: IPv4 10.9.0.2 > 10.80.0.1 ICMP, 28 octets"),
    (b"\0\1\2", "1 cell: no IP packet: it begins 00 01 02")])
def test_quick_lines(sdu: bytes, line: str) -> None:
    assert pdu_line(sdu, quick=True) == line


def test_quick_lines_still_tell_faults() -> None:
    quick = LinePrinter(Stamp.NONE, quick=True)
    assert lines(flipped(segment(GET, Vc(1, 64)), 400), follower=Follower(), printer=quick) == [
        "2 cells, length 68, pad 20, CRC bad"]


@pytest.mark.parametrize(("sdu", "encapsulation", "carried"), [
    (SYN_PACKET, Encapsulation.LLC, "LLC IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP [S] seq 100 win 64240 length 0"),
    (bytes.fromhex("02000000000202000000000108000102"), Encapsulation.LLC_BRIDGED,
     "LLC-BRIDGED Ethernet 02:00:00:00:00:01 > 02:00:00:00:00:02 EtherType 0800, 16 octets"),
    (bytes.fromhex("FFFFFFFFFFFF0200000000010806"), Encapsulation.VC_MUX_BRIDGED,
     "VC-MUX-BRIDGED Ethernet 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff EtherType 0806, 14 octets"),
    (b"\1\2\3", Encapsulation.LLC_BRIDGED, "LLC-BRIDGED a bridged Ethernet frame"),
    (bytes.fromhex("AAAA030000000806") + bytes(28), Encapsulation.VC_MUX, "LLC ARP, 28 octets"),
    (bytes.fromhex("AAAA030000008847") + bytes(28), Encapsulation.VC_MUX, "LLC EtherType 8847"),
    (bytes(range(20)), Encapsulation.VC_MUX, "no IP packet: it begins 00 01 02 03 04 05 06 07")])
def test_encapsulations(sdu: bytes, encapsulation: Encapsulation, carried: str) -> None:
    assert pdu_line(sdu, encapsulation=encapsulation).split("CRC good: ", 1)[1] == carried


def test_statistics_of_an_edge_node() -> None:
    report = Statistics(ServerState.ACCEPTS, 2, 7, 3, 0, 0, 0, 0, 0, 0, 0).pack()

    def line(sdu: bytes) -> str:
        (pdu,) = Follower().take(Cells(0, "l", "in", segment(sdu, Vc(1, 33))))
        assert isinstance(pdu, Pdu)
        pdu.name = VcName("web1", "web1", "management")
        return LinePrinter(Stamp.NONE).line(pdu).split("CRC good", 1)[1]

    assert line(report) == ": statistics 7 of an edge node: server accepts, 3 flows  (web1)"
    assert line(report[:-1]) == \
        ": no statistics of an edge node: statistics have 68 octets or more, here are 67  (web1)"
    assert line(report[:5] + b"\x09" + report[6:]) == \
        ": no statistics of an edge node: 9 is not a valid ServerState  (web1)"
    proxy = Statistics.unpack(report)._replace(proxy=ProxyFigures(0, 0, 0, 0, 0)).pack()
    assert line(proxy[:4] + bytes([VERSION + 1]) + proxy[5:] + b"new") == line(proxy)
    follows = Statistics.unpack(report)._replace(term=7, follows="depot2").pack()
    assert line(follows) == \
        ": statistics 7 of an edge node: server accepts, 3 flows, follows depot2 of term 7  (web1)"


@pytest.mark.parametrize(("message", "told"), [
    (Announcement("main", "depot2", 7, 100), "announcement: depot2 is active in set main, term 7, each 100 ms"),
    (Announcement("main", "d2", 7, 100, Claim.NOTHING), "announcement: d2 runs in set main, term 7, each 100 ms"),
    (Recall(3, 1500), "recall 3: the flows of the last 1,500 ms"), (Recall(3), "recall 3: all flows"),
    (Flows(3, 1, True, [ToldFlow(bytes(13), 64, 0)]), "part 1 of the answer to recall 3, the last: 1 flow"),
    (Flows(3, 0, False, []), "part 0 of the answer to recall 3: 0 flows")])
def test_messages_of_depots_and_edge_nodes(message: Message, told: str) -> None:
    def line(sdu: bytes) -> str:
        (pdu,) = Follower().take(Cells(0, "l", "in", segment(sdu, Vc(1, 33))))
        assert isinstance(pdu, Pdu)
        pdu.name = VcName("web1", "web1", "management")
        return LinePrinter(Stamp.NONE).line(pdu).split("CRC good", 1)[1]

    assert line(message.pack()) == f": {told}  (web1)"
    cut = line(message.pack()[:-1])
    assert cut.startswith(": no message of depots and edge nodes: ")
    drop = Drop(0, "to-web1", DropReason.BAD_ANNOUNCEMENT, 1, message.pack(), (1, 33))
    assert f"bad-announcement: {told}" in LinePrinter(Stamp.NONE).line(drop)


@pytest.mark.parametrize(("version", "told"), [(0, "version 1 or later, not b'ADST' and 0"), (2, "version 2")])
def test_dropped_statistics_tell_their_version(version: int, told: str) -> None:
    report = bytearray(Statistics(ServerState.ACCEPTS, 2, 7, 3, 0, 0, 0, 0, 0, 0, 0).pack())
    report[4] = version
    text = LinePrinter(Stamp.NONE).line(Drop(0, "to-web1", DropReason.BAD_STATISTICS, 1, bytes(report), (1, 33)))
    assert "bad-statistics: no statistics of an edge node" in text
    assert told in text


def with_length(length: int, cells: int) -> bytes:
    body = bytes(48 * cells - 6) + length.to_bytes(2, "big")
    return body + int(plain_crc32(body)).to_bytes(4, "big")


def cells_with(pdu: bytes) -> bytes:
    count = len(pdu) // 48
    return b"".join(CellHeader(1, 64, int(n == count - 1)).pack() + pdu[48 * n:48 * n + 48] for n in range(count))


def test_pdus_that_a_receiver_drops() -> None:
    def line(train: bytes, crc: CrcMode | None = None) -> str:
        follower = Follower(crc=crc)
        follower.take(Cells(0, "l", "in", segment(b"the first", Vc(1, 64))))
        return lines(train, follower=follower)[0]

    assert line(flipped(segment(GET, Vc(1, 64)), 300)) == "AAL5 2 cells, length 68, pad 20, CRC bad"
    assert line(cells_with(with_length(41, 1))) == "AAL5 1 cell, length 41 does not fit, CRC good: length-error"
    assert line(cells_with(with_length(40, 2))) == "AAL5 2 cells, length 40 does not fit, CRC good: length-error"
    assert line(cells_with(abort_pdu())) == "AAL5 1 cell, length 0, pad 40, CRC good: aborted"
    assert line(cells_with(with_length(0, 2))) == "AAL5 2 cells, length 0, CRC good: aborted"
    merged = segment(GET, Vc(1, 64))[:53] + segment(GET, Vc(1, 64))
    assert line(merged) == "AAL5 3 cells, length 68 does not fit, CRC bad"


def test_crc_by_dynamips_rule() -> None:
    train = segment(SYN_PACKET, Vc(1, 64, crc=CrcMode.DYNAMIPS))
    (line,) = lines(train, follower=Follower(crc=CrcMode.DYNAMIPS))
    assert line.startswith("AAL5 1 cell, length 40, pad 0, CRC good (Dynamips): IPv4 10.9.0.2:1000 > ")
    assert lines(train, follower=Follower(crc=CrcMode.STRICT)) == ["AAL5 1 cell, length 40, pad 0, CRC bad"]


def test_pdus_without_end() -> None:
    first = segment(GET, Vc(1, 64))[:53]
    assert lines(first, follower=Follower(), end=True) == ["AAL5 1 cell, no last cell: the trace ended before"]
    follower = Follower(timeout=10)
    follower.take(Cells(0, "l", "out", first))
    (pdu,) = follower.take(Cells(10, "l", "out", b""))
    assert LinePrinter(Stamp.NONE).line(pdu) == "l out  1/64     AAL5 1 cell, no last cell: reassembly-timeout"


def test_lines_of_special_good_pdus() -> None:
    cells = cells_of(segment(GET, Vc(1, 64)))
    marked = flipped(CellHeader(1, 64, 0, 1).pack() + cells[0][5:], 5), CellHeader(1, 64, 3).pack() + cells[1][5:]
    assert lines(*marked, follower=Follower())[0].startswith(
        "AAL5 2 cells, length 68, pad 20, CRC good, 1 HEC corrected, EFCI, CLP 1: IPv4 ")


def test_the_first_bad_pdu_may_have_begun_before_the_trace() -> None:
    last = cells_of(segment(GET, Vc(1, 64)))[1]
    follower = Follower()
    assert lines(last, last, follower=follower) == [
        "AAL5 1 cell, length 68 does not fit, CRC bad (its beginning may lie before the trace)",
        "AAL5 1 cell, length 68 does not fit, CRC bad"]
    whole = flipped(segment(GET, Vc(1, 64)), 400)
    assert lines(whole, follower=Follower()) == ["AAL5 2 cells, length 68, pad 20, CRC bad"], "it has a beginning"


@pytest.mark.parametrize(("encapsulation", "begins_well"), [(None, True), (Encapsulation.VC_MUX, True),
                                                            (Encapsulation.LLC, False)])
def test_how_a_pdu_of_a_vc_begins_is_told_by_its_encapsulation(
        encapsulation: Encapsulation | None, begins_well: bool) -> None:
    (pdu,) = Follower().take(Cells(0, "l", "in", flipped(segment(GET, Vc(1, 64)), 400)))
    assert isinstance(pdu, Pdu)
    pdu.name = VcName(encapsulation=encapsulation)
    line = LinePrinter(Stamp.NONE).line(pdu)
    assert line.endswith("CRC bad" if begins_well else "CRC bad (its beginning may lie before the trace)")


@pytest.mark.parametrize("quick", [False, True])
def test_the_rest_of_a_pdu_after_a_gap(quick: bool) -> None:
    follower = Follower()
    follower.take(Missed(0, cells=1))
    last = cells_of(segment(GET, Vc(1, 64)))[1]
    (line,) = lines(last, follower=follower, printer=LinePrinter(Stamp.NONE, quick=quick))
    assert line == f"{'' if quick else 'AAL5 '}1 cell, the cells before were missed"


def test_pdus_of_captures_without_cells() -> None:
    def line(octets: bytes, *, trailer: bool = True, missing: int = 0) -> str:
        (pdu,) = Follower().take(PduSeen(0, "l", "in", CellHeader(1, 64).pack()[:4], octets, trailer, missing))
        return LinePrinter(Stamp.NONE).line(pdu)

    packet = "IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP"
    assert line(SYN_PACKET, trailer=False) == \
        f"l in   1/64     AAL5 1 cell, length 40, CRC not captured: {packet} [S] seq 100 win 64240 length 0"
    assert line(cpcs_pdu(GET)[:44], missing=52) == \
        f"l in   1/64     AAL5 2 cells, the first 44 octets captured: {packet} [P.] length 28"
    assert line(cpcs_pdu(GET)[:1], missing=95) == \
        "l in   1/64     AAL5 2 cells, the first 1 octet captured: an IPv4 header has at least 20 octets, here are 1"
    assert line(b"\1\2") == "l in   1/64     AAL5 0 cells, only 2 octets, CRC bad: length-error"


@pytest.mark.parametrize(("session", "server", "names", "told"), [
    (Session(42, "web1"), "web1", True, "  (session 42, web1)"), (Session(42, ""), "", True, "  (session 42)"),
    (None, "web1", True, "  (web1)"), (None, "", True, ""), (Session(42, "web1"), "web1", False, "")])
def test_names_of_sessions_and_servers(session: Session | None, server: str, names: bool, told: str) -> None:
    (pdu,) = Follower().take(Cells(0, "l", "in", segment(SYN_PACKET, Vc(1, 64))))
    assert isinstance(pdu, Pdu)
    pdu.session, pdu.name = session, VcName(server, server, "session")
    assert LinePrinter(Stamp.NONE, names=names).line(pdu).endswith("seq 100 win 64240 length 0" + told)


@pytest.mark.parametrize(("data", "quote"), [
    (b"HTTP/1.1 200 OK\r\nServer: x\r\n", '  "HTTP/1.1 200 OK"'), (b"hello", '  "hello"'), (b"\r\nhello", ""),
    (b"", ""),
    (b"x" * 99, f'  "{"x" * 99}"'), (b"x" * 100, ""), (b"x" * 98 + b"\r\n", f'  "{"x" * 98}"'), (b"\x1b[31m\r\n", ""),
    ("grün\r\n".encode(), ""), (b"two\nlines", "")])
def test_the_first_line_of_text_is_quoted(data: bytes, quote: str) -> None:
    line = pdu_line(tcp(CLIENT, 1000, VIP, 80, ACK, data=data))
    assert line.split(" length ")[-1] == f"{len(data)}{quote}"


# Drops.


CELL = segment(SYN_PACKET, Vc(1, 64))
OCTETS = {"cells": CELL, "packets": SYN_PACKET, "PDUs": cpcs_pdu(SYN_PACKET), "datagrams": bytes(20),
          "frames": bytes(20)}
SHOWN = {"cells": "00 10 04 02 ad user last", "packets": "IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP [S] length 0",
         "PDUs": "45 00 00 28 00 00 00 00 40 06 66 75 0a 09 00 02 ...",
         "frames": "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ...",
         "datagrams": "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ..."}


@pytest.mark.parametrize("reason", DropReason, ids=str)
def test_drops_of_every_reason(reason: DropReason) -> None:
    one = Drop(0, "to-web1", reason, 1, OCTETS[reason.unit], (1, 64), "depot")
    unit = reason.unit.removesuffix("s")
    assert LinePrinter(Stamp.NONE, nodes=True).line(one) == \
        f"depot to-web1 1/64 DROP 1 {unit}: {reason}: {SHOWN[reason.unit]}  ({reason.text})"
    assert LinePrinter(Stamp.NONE, quick=True).line(Drop(0, "", reason, 1234)) == f"DROP 1,234 {reason.unit}: {reason}"


@pytest.mark.parametrize(("drop", "line"), [
    (Drop(0, "", "no-session", 1, GET[:40]),
     "DROP 1 packet: no-session: IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP [P.] length 28"),
    (Drop(0, "", "not-ip", 1, b"\x20\x01"), "DROP 1 packet: not-ip: 20 01"),
    (Drop(0, "", "malformed", 1, SYN_PACKET[:19]),
     f"DROP 1 packet: malformed: {SYN_PACKET[:16].hex(' ')} ..."),
    (Drop(0, "l", "hec-error", 2, CELL[:20]), f"l DROP 2 cells: hec-error: {CELL[:16].hex(' ')} ..."),
    (Drop(0, "l", "unknown-vc", 1, CellHeader(4, 64, 0, gfc=3).pack() + bytes(48), (772, 64)),
     "l 772/64 DROP 1 cell: unknown-vc: 30 40 04 00 2e user"),
    (Drop(0, "l", "of-a-newer-daemon", 1000, b"\1\2", (1, 64)), "l 1/64 DROP 1,000: of-a-newer-daemon: 01 02"),
    (Drop(0, "", "of-a-newer-daemon", 1), "DROP 1: of-a-newer-daemon")])
def test_some_drops(drop: Drop, line: str) -> None:
    assert LinePrinter(Stamp.NONE, quick=True).line(drop) == line


# Sessions.


@pytest.mark.parametrize(("event", "why", "told"), [
    ("opened", "round-robin", "session 42 opened (round-robin): "), ("established", "", "session 42 established: "),
    ("closed", "FIN", "session 42 closed (FIN): "), ("gone", "2 MSL are over", "session 42 gone (2 MSL are over): ")])
def test_changes_of_sessions(event: str, why: str, told: str) -> None:
    change = SessionChange(0, 42, event, "TCP", f"{CLIENT}:1000", f"{VIP}:80", "web1", "to-web1", (1, 64), "ubr.1", why,
                           "depot")
    assert LinePrinter(Stamp.NONE, nodes=True).line(change) == \
        f"depot {told}TCP 10.9.0.2:1000 > 10.80.0.1:80 at web1, to-web1 VC 1/64 ubr.1"


def test_a_session_of_which_no_table_tells() -> None:
    change = SessionChange(0, 1, "opened", "TCP", "[::1]:1", "[::2]:80", "", "", (1, 64), "")
    assert LinePrinter(Stamp.NONE).line(change) == "session 1 opened: TCP [::1]:1 > [::2]:80, VC 1/64"


@pytest.mark.parametrize(("missed", "line"), [
    (Missed(0, 1), "MISSED 1 cell"), (Missed(0, 0, 1234), "MISSED 1,234 drops"),
    (Missed(0, 2, 1, 1), "MISSED 2 cells, 1 drop, 1 session change"), (Missed(0), "MISSED nothing")])
def test_the_line_of_missed_items(missed: Missed, line: str) -> None:
    assert LinePrinter(Stamp.NONE).line(missed) == f"{line}: this trace was slower than the node"


# Octets.


def test_hex() -> None:
    """As tcpdump prints it."""
    octets = b"GET / HTTP/1.1\r\n" + bytes((0, 31, 32, 126, 127, 128, 255))
    assert hex_lines(octets, text=False) == ("\t0x0000:  4745 5420 2f20 4854 5450 2f31 2e31 0d0a\n"
                                             "\t0x0010:  001f 207e 7f80 ff")
    assert hex_lines(octets, text=True) == ("\t0x0000:  4745 5420 2f20 4854 5450 2f31 2e31 0d0a  GET / HTTP/1.1..\n"
                                            "\t0x0010:  001f 207e 7f80 ff                        .. ~...")
    assert hex_lines(b"", text=True) == ""


@given(st.binary(max_size=300), st.booleans())
def test_hex_has_all_octets(octets: bytes, text: bool) -> None:
    told = hex_lines(octets, text=text).split("\n") if octets else []
    assert "".join(line[10:50].replace(" ", "") for line in told) == octets.hex()
    assert all(line.replace("\t", "").isprintable() and len(line) <= 67 for line in told)


# What passes may be hostile.


def test_unprintable_characters_are_escaped() -> None:
    told = "a\x1b[31m\n\r\t\x00\x7f\x9b ü \u202e \u2028 \ud800 ❤"
    assert printable(told) == r"a\x1b[31m\n\r\t\x00\x7f\x9b ü \u202e \u2028 \ud800 ❤"


HOSTILE = st.text(max_size=10) | st.sampled_from(["\n", "\x1b[2J", "a\r", "\u2028", "\u202e", "\ud800"])


@st.composite
def hostile_items(draw: st.DrawFn) -> Item:
    """Items whose words are anybody's."""
    item = draw(items_of_tests.items)
    for name in ("node", "link", "direction", "reason", "event", "protocol", "client", "service", "server", "category",
                 "why"):
        if hasattr(item, name) and draw(st.booleans()):
            setattr(item, name, draw(HOSTILE))
    if isinstance(item, Pdu):
        item.name = item.name._replace(server=draw(HOSTILE))
        item.session = draw(st.none() | st.builds(Session, st.integers(), HOSTILE))
    return item


@given(st.lists(hostile_items(), max_size=5), st.sampled_from(Stamp), st.booleans(), st.booleans())
def test_every_item_is_one_line(items: list[Item], stamp: Stamp, quick: bool, nodes: bool) -> None:
    printer = LinePrinter(stamp, quick=quick, nodes=nodes)
    for item in items:
        line = printer.line(item)
        assert line
        assert line.isprintable()


@given(st.lists(st.one_of(
    st.binary(min_size=53, max_size=53),
    st.builds(lambda pti, payload: CellHeader(1, 64, pti).pack() + payload, st.integers(0, 7),
              st.binary(min_size=48, max_size=48)),
    st.binary(min_size=1, max_size=39).map(train_of)), max_size=20))
def test_any_cells_have_lines(cells: list[bytes]) -> None:
    told = lines(*cells, end=True)
    assert len(told) >= len(cells)
    assert all(line.isprintable() for line in told)


@given(st.binary(max_size=100), st.booleans(), st.integers(0, 100))
def test_any_pdu_of_a_file_has_a_line(octets: bytes, trailer: bool, missing: int) -> None:
    (pdu,) = Follower().take(PduSeen(0, "l", "in", CellHeader(1, 64).pack()[:4], octets, trailer, missing))
    assert LinePrinter().line(pdu).isprintable()
