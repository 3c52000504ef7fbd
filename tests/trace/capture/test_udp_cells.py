"""Cells out of UDP: what is taken for cells and what is not, whose they are, and hostile packets."""

from __future__ import annotations

import struct
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.net.events import Cells, Drop
from atmdepot.trace.capture.udp_cells import UdpCells, names_of
from atmdepot.trace.notes import Notes
from atmdepot.trace.sources import CapturedCells, HecMark, Remark
from atmdepot.wire.aal5 import CrcMode, cpcs_pdu, to_cells
from atmdepot.wire.cell import CellHeader, Interface
from atmdepot.wire.link_tag import LinkTag
from atmdepot.wire.oam import OamPayload
from tests.trace.captures import cells_of, flipped, http_packet, train_of, udp_packet

if TYPE_CHECKING:
    from atmdepot.trace.capture.udp_cells import LinkNames
    from atmdepot.trace.sources import SourceRecord

A, B = ("10.0.0.1", 5501), ("10.0.0.2", 5502)
A6, B6 = ("2001:db8::1", 5501), ("2001:db8::2", 5502)
LINK = "10.0.0.1:5501-10.0.0.2:5502"
TRAIN = train_of(http_packet(4))
FIRST, SECOND, LAST = cells_of(TRAIN)
NO_CELLS, UNPROVEN = "UDP datagrams that hold no cells", "UDP datagrams that may hold cells"


class Wire:
    """Packets in, records out, each with the time of its packet: 1, 2, 3..."""

    def __init__(self, ports: tuple[int, ...] = (), names: LinkNames | None = None, **bounds: int) -> None:
        self.notes = Notes(lambda: "here")
        self.udp = UdpCells(self.notes, ports, names, **bounds)
        self.time = 0

    def packet(self, octets: bytes, hint: str = "", interface: int = 0, at: int = 0) -> list[SourceRecord]:
        self.time += 1
        record = self.udp.packet(self.time, octets, at, hint, interface)
        return self.notes.take() + ([] if record is None else [record])

    def send(self, payload: bytes, source: tuple[str, int] = A, destination: tuple[str, int] = B, hint: str = "",
             interface: int = 0) -> list[SourceRecord]:
        return self.packet(udp_packet(payload, source, destination), hint, interface)

    def finish(self) -> dict[str, int]:
        self.udp.finish()
        return dict(self.notes.passed_over)


def cells(time: int, octets: bytes, direction: str = "out", link: str = LINK, node: str = "") -> Cells:
    return Cells(time, link, direction, octets, node)


# ── with ports ──

def test_every_datagram_of_the_ports_counts() -> None:
    wire = Wire((5502,))
    noise = bytes(range(53))
    assert wire.send(TRAIN) == [cells(1, TRAIN)]
    assert wire.send(noise, B, A) == [cells(2, noise, "in")]
    for wrong in (b"", b"short", TRAIN[:-1], TRAIN + b"x"):
        assert wire.send(wrong) == [Drop(wire.time, LINK, DropReason.NOT_WHOLE_CELLS, 1, wrong)]
    assert wire.send(TRAIN, ("10.0.0.1", 1), ("10.0.0.2", 2)) == []
    assert wire.finish() == {"UDP datagrams of other ports": 1}


def test_a_drop_shows_the_beginning() -> None:
    [drop] = Wire((5501,)).send(bytes(range(256)) * 10)
    assert isinstance(drop, Drop)
    assert drop.octets == bytes(range(256))


@pytest.mark.parametrize(("source", "destination", "link", "direction"), [
    (A, B, LINK, "out"), (B, A, LINK, "in"), (("10.0.0.1", 9), ("10.0.0.1", 10), "10.0.0.1:9-10.0.0.1:10", "out"),
    (("10.0.0.9", 1), ("10.0.0.10", 1), "10.0.0.9:1-10.0.0.10:1", "out"),
    (A6, B6, "[2001:db8::1]:5501-[2001:db8::2]:5502", "out"), (B6, A6, "[2001:db8::1]:5501-[2001:db8::2]:5502", "in")])
def test_a_link_has_one_name_for_both_directions(
        source: tuple[str, int], destination: tuple[str, int], link: str, direction: str) -> None:
    ports = source[1], destination[1]
    assert Wire(ports).send(TRAIN, source, destination) == [cells(1, TRAIN, direction, link)]


def test_the_machines_own_direction_goes_before_addresses() -> None:
    wire = Wire((5501,))
    assert wire.send(TRAIN, A, B, "in") == [cells(1, TRAIN, "in")]
    assert wire.send(TRAIN, B, A, "out") == [cells(2, TRAIN, "out")]
    forwarding = Wire((5501,))
    assert forwarding.send(TRAIN, A, B, "in") == [cells(1, TRAIN, "in")]
    assert forwarding.send(TRAIN, B, A, "in") == [cells(2, TRAIN, "out")]
    assert forwarding.send(TRAIN, A, B, "out") == [cells(3, TRAIN, "out", LINK + "#2")]
    assert forwarding.send(TRAIN, B, A, "out") == [cells(4, TRAIN, "in", LINK + "#2")]
    assert forwarding.send(TRAIN, A, B, "in") == [cells(5, TRAIN, "in")]


def test_two_interfaces_are_kept_apart() -> None:
    wire = Wire((5501,))
    assert wire.send(TRAIN, interface=3) == [cells(1, TRAIN)]
    assert wire.send(TRAIN, interface=7) == [cells(2, TRAIN, link=LINK + "#2")]
    assert wire.send(TRAIN, interface=3) == [cells(3, TRAIN)]
    assert wire.send(TRAIN, B, A, interface=7) == [cells(4, TRAIN, "in")]


def test_names_of_a_vc_table() -> None:
    names = names_of({A: ("to-web1", "depot"), B: ("to-web1", "web1"), ("::1", 7): ("other", "sw")})
    wire = Wire((), names)
    assert wire.send(FIRST) == [cells(1, FIRST, "out", "to-web1", "depot")]
    assert wire.send(FIRST, B, A, "out") == [cells(2, FIRST, "in", "to-web1", "depot")]
    assert wire.send(b"wrong") == [Drop(3, "to-web1", DropReason.NOT_WHOLE_CELLS, 1, b"wrong", None, "depot")]
    assert wire.send(FIRST, B, ("10.7.7.7", 5501)) == [cells(4, FIRST, "in", "to-web1", "depot")]
    assert wire.send(FIRST, ("::2", 1), ("::1", 7)) == [cells(5, FIRST, "in", "other", "sw")]
    assert wire.send(FIRST, ("10.0.0.7", 1), ("10.0.0.8", 7)) == []


# ── without ports ──

def test_two_headers_prove_a_train() -> None:
    assert Wire().send(TRAIN) == [cells(1, TRAIN)]


def test_single_cells_wait_until_they_are_proven_and_come_in_order() -> None:
    wire = Wire()
    assert wire.send(FIRST) == []
    assert wire.send(SECOND, B, A) == []
    assert wire.send(LAST) == [cells(1, FIRST), cells(2, SECOND, "in"), cells(3, LAST)]
    wrong = flipped(FIRST, 0, 1)
    assert wire.send(wrong) == [cells(4, wrong)]
    assert wire.send(b"odd") == [Drop(5, LINK, DropReason.NOT_WHOLE_CELLS, 1, b"odd")]
    assert wire.finish() == {}


@pytest.mark.parametrize("mode", list(CrcMode))
def test_a_single_cell_pdu_with_a_right_crc_is_a_proof(mode: CrcMode) -> None:
    header, last = CellHeader(1, 32).pack(), CellHeader(1, 32, 1).pack()
    cell = to_cells(cpcs_pdu(b"x" * 40, crc=mode), header, last)
    assert Wire().send(cell) == [cells(1, cell)]
    assert Wire().send(cell[:-1] + bytes((cell[-1] ^ 1,))) == []


@pytest.mark.parametrize(("header", "proof"), [
    (CellHeader(1, 32, 5), True), (CellHeader(1, 32, 4), True), (CellHeader(1, 3), True), (CellHeader(1, 4), True),
    (CellHeader(1, 32), False), (CellHeader(1, 32, 6), False)])
def test_an_oam_cell_with_a_right_crc_is_a_proof(header: CellHeader, proof: bool) -> None:
    cell = header.pack() + OamPayload(1, 8, b"").pack()
    assert bool(Wire().send(cell)) is proof
    assert Wire().send(cell[:-1] + bytes((cell[-1] ^ 1,))) == []


def test_the_first_datagram_that_fails_settles_it() -> None:
    for wrong in (b"no cells", TRAIN[:-1], flipped(FIRST, 0), b""):
        wire = Wire()
        assert wire.send(FIRST) == []
        assert wire.send(wrong, B, A) == []
        assert wire.send(TRAIN) == []
        assert wire.finish() == {NO_CELLS: 3}


def test_unproven_datagrams_are_counted_and_told() -> None:
    wire = Wire()
    for _ in range(5):
        assert wire.send(FIRST) == []
    assert wire.finish() == {UNPROVEN: 5}
    [told] = wire.notes.take()
    assert isinstance(told, Remark)
    assert told.text.startswith("5 UDP datagrams may hold cells")
    assert "--port" in told.text


def test_waiting_cells_are_bounded_and_may_be_proven_later() -> None:
    wire = Wire(max_waiting=10)
    for _ in range(11):
        assert wire.send(FIRST) == []
    assert wire.notes.passed_over == {UNPROVEN: 11}
    assert wire.send(FIRST, ("10.0.0.1", 1), ("10.0.0.2", 2)) == []
    assert wire.send(LAST) == [cells(13, LAST)]
    assert wire.finish() == {UNPROVEN: 12}


def test_flows_are_bounded() -> None:
    wire = Wire(max_flows=4)
    for port in range(1, 9):
        assert wire.send(FIRST, ("10.0.0.1", port), ("10.0.0.2", 9)) == []
    assert wire.notes.passed_over == {UNPROVEN: 4}
    assert wire.send(LAST, ("10.0.0.1", 8), ("10.0.0.2", 9)) != []
    assert wire.finish() == {UNPROVEN: 7}


def test_flows_with_cells_are_kept_longest() -> None:
    wire = Wire(max_flows=4)
    assert wire.send(TRAIN) != []
    for port in range(1, 9):
        wire.send(b"no cells", ("10.0.0.1", port), ("10.0.0.2", 9))
        assert wire.send(FIRST) == [cells(wire.time, FIRST)]
    known = Wire((9,), max_flows=4)
    for port in range(1, 9):
        assert known.send(FIRST, ("10.0.0.1", port), ("10.0.0.2", 9)) != []


def test_other_traffic_is_not_taken_for_cells() -> None:
    """Conversations of random datagrams, all of them as long as a cell: by chance one in 65,000 would pass."""
    random = Random(4711)
    wire = Wire()
    taken = 0
    for number in range(4000):
        source = "10.1.0.1", 1024 + number
        taken += sum(len(wire.send(random.randbytes(53), source, B)) for _ in range(3))
    assert taken == 0
    for octet in range(256):
        assert wire.send(bytes((octet,)) * 53 * 4, ("10.2.0.1", 1 + octet), B) == []
    assert wire.finish()[UNPROVEN] < 60


# ── RFC 4717 ──

def mpls(cells: bytes, labels: tuple[int, ...] = (16,), control: bytes = bytes(4)) -> bytes:
    stack = b"".join(struct.pack(">I", label << 12 | (0x100 if label == labels[-1] else 0) | 64) for label in labels)
    return stack + control + b"".join(cell[:4] + cell[5:] for cell in cells_of(cells))


def test_cells_over_mpls_in_udp() -> None:
    train = train_of(http_packet(4), vpi=3000, interface=Interface.NNI)
    ports = (40000, 6635)
    for labels, label in (((16,), 16), ((1000, 7), 7), ((1, 2, 3, 4, 5, 6, 7, 1048575), 1048575)):
        wire = Wire()
        [seen] = wire.send(mpls(train, labels, b"\x0f\0\xab\xcd"), ("10.0.0.1", ports[0]), ("10.0.0.2", ports[1]))
        assert seen == CapturedCells(1, f"10.0.0.1-10.0.0.2/{label}", "out", train, "", HecMark.ABSENT, Interface.NNI)
    [other] = wire.send(mpls(train, (9,)), ("10.0.0.2", 50000), ("10.0.0.1", 6635))
    assert isinstance(other, CapturedCells)
    assert (other.link, other.direction) == ("10.0.0.1-10.0.0.2/9", "in")


@pytest.mark.parametrize("vpi", [0, 5, 1100, 1600, 4095])
@pytest.mark.parametrize("length", [10, 300])
def test_the_control_word_may_be_missing(vpi: int, length: int) -> None:
    """VPIs from 1024 and from 1536 begin as IPv4 and IPv6 do."""
    train = to_cells(cpcs_pdu(bytes(length)), CellHeader(vpi, 64).pack(Interface.NNI),
                     CellHeader(vpi, 64, pti=1).pack(Interface.NNI))
    for control in (b"", bytes(4)):
        [seen] = Wire().send(mpls(train, control=control), ("10.0.0.1", 40000), ("10.0.0.2", 6635))
        assert isinstance(seen, CapturedCells)
        assert seen.octets == train


def test_ip_packets_as_long_as_cells_are_none() -> None:
    """An acknowledgement with a time stamp option has 52 octets."""
    four = b"\x45\0\0\x34" + bytes(48)
    six = b"\x60\0\0\0\0\x40" + bytes(98)
    for packet in (four, six):
        wire = Wire()
        assert wire.send(bytes.fromhex("00010140") + packet, ("10.0.0.1", 40000), ("10.0.0.2", 6635)) == []
        assert wire.finish() == {"MPLS-in-UDP datagrams that hold no cells": 1}


@pytest.mark.parametrize("payload", [
    b"", bytes(3), bytes(200), mpls(TRAIN)[:-1], mpls(TRAIN)[:8], mpls(TRAIN)[:4], mpls(TRAIN, control=b"\x45\0\0\0"),
    mpls(TRAIN, tuple(range(1, 10))), mpls(TRAIN) + b"x"])
def test_other_mpls_is_not(payload: bytes) -> None:
    wire = Wire()
    assert wire.send(payload, ("10.0.0.1", 40000), ("10.0.0.2", 6635)) == []
    assert wire.finish() == {"MPLS-in-UDP datagrams that hold no cells": 1}


# ── packets ──

V4, V6 = udp_packet(TRAIN), udp_packet(TRAIN, A6, B6)


def extended(packet: bytes, *headers: tuple[int, bytes]) -> bytes:
    """An IPv6 packet with extension headers put in, whose first octet is then set."""
    kinds = [kind for kind, _ in headers] + [packet[6]]
    body = b"".join(bytes((after,)) + rest[1:] for (_, rest), after in zip(headers, kinds[1:], strict=True))
    length = struct.pack(">H", len(packet) - 40 + len(body))
    return packet[:4] + length + bytes((kinds[0],)) + packet[7:40] + body + packet[40:]


def test_ip_options_and_extension_headers_are_passed_over() -> None:
    options = bytes((0x47,)) + V4[1:2] + struct.pack(">H", len(V4) + 8) + V4[4:20] + bytes(8) + V4[20:]
    assert Wire((5501,)).packet(options) == [cells(1, TRAIN)]
    [seen] = Wire((5501,)).packet(extended(V6, (0, bytes(8)), (60, b"\0\1" + bytes(14))))
    assert isinstance(seen, Cells)
    assert seen.octets == TRAIN


def test_octets_behind_the_packet_are_left_out() -> None:
    for packet in (V4, V6):
        [seen] = Wire((5501,)).packet(b"head" + packet + bytes(20), at=4)
        assert isinstance(seen, Cells)
        assert seen.octets == TRAIN


def test_lengths_that_contradict_one_another() -> None:
    short = V4[:24] + struct.pack(">H", 8 + 53) + V4[26:]
    assert Wire((5501,)).packet(short) == [cells(1, FIRST)]
    beyond = V4[:2] + struct.pack(">H", 28 + 53) + V4[4:]
    wire = Wire((5501,))
    assert [record for record in wire.packet(beyond) if isinstance(record, Cells)] == [cells(1, FIRST)]
    assert wire.finish() == {"cells cut off by the snap length": 2}


def test_lengths_that_the_network_device_fills_in() -> None:
    packet = V4[:2] + bytes(2) + V4[4:24] + bytes(2) + V4[26:]
    assert Wire((5501,)).packet(packet) == [cells(1, TRAIN)]


def test_fragments_are_counted_and_told_once() -> None:
    wire = Wire((5501,))
    for word in (b"\x20\x00", b"\x00\x01", b"\x20\x10"):
        told = wire.packet(V4[:6] + word + V4[8:])
        assert [type(one) for one in told] == ([Remark] if wire.time == 1 else [])
    for word in (1, 0x20, 0x21):
        wire.packet(extended(V6, (44, bytes((0, 0, 0, word, 0, 0, 0, 9)))))
    assert wire.finish() == {"IP fragments": 6}
    assert Wire((5501,)).packet(V4[:6] + b"\x40\x00" + V4[8:]) != []


def test_other_protocols_are_counted() -> None:
    wire = Wire()
    wire.packet(http_packet(4))
    wire.packet(http_packet(6))
    wire.packet(b"\x55" + V4[1:])
    wire.packet(b"")
    wire.packet(b"\x44" + V4[1:])
    wire.packet(extended(V6, (0, b"\0\xff" + bytes(6))))
    wire.packet(V4[:24] + b"\0\7" + V4[26:])
    assert wire.finish() == {"packets that are not UDP": 2, "frames whose IP or UDP header is damaged or cut": 5}


@pytest.mark.parametrize("packet", [V4, V6])
def test_every_cut_gives_the_whole_cells_that_are_there(packet: bytes) -> None:
    head = len(packet) - len(TRAIN)
    for cut in range(len(packet)):
        wire = Wire((5501,))
        seen = [record for record in wire.packet(packet[:cut]) if isinstance(record, Cells)]
        there = max(0, cut - head) // 53
        assert [record.octets for record in seen] == ([TRAIN[:there * 53]] if there else [])
        expected = {"cells cut off by the snap length": 3 - there} if cut >= head else {
            "frames whose IP or UDP header is damaged or cut": 1}
        assert wire.finish() == expected


def test_every_cut_of_mpls() -> None:
    packet = udp_packet(mpls(TRAIN), ("10.0.0.1", 40000), ("10.0.0.2", 6635))
    for cut in range(36, len(packet)):
        wire = Wire()
        seen = [record for record in wire.packet(packet[:cut]) if isinstance(record, Cells)]
        there = (cut - 36) // 52
        assert [record.octets for record in seen] == ([TRAIN[:there * 53]] if there else [])
        assert wire.finish() == {"cells cut off by the snap length": 3 - there}


@given(st.binary(max_size=200), st.sampled_from([b"", V4[:20], V4[:28], V6[:40], V6[:48]]), st.integers(0, 3),
       st.sampled_from([(), (5501,), (6635,)]))
def test_any_octets_raise_no_error(noise: bytes, head: bytes, at: int, ports: tuple[int, ...]) -> None:
    wire = Wire(ports)
    for _ in range(2):
        for record in wire.packet(bytes(at) + head + noise, at=at):
            assert not isinstance(record, Cells) or len(record.octets) % 53 == 0


@given(st.data())
def test_wrong_bits_raise_no_error(data: st.DataObject) -> None:
    packet = data.draw(st.sampled_from([V4, V6, udp_packet(mpls(TRAIN), A, ("10.0.0.2", 6635)),
                                        extended(V6, (0, bytes(8)))]))
    bits = data.draw(st.lists(st.integers(0, 60 * 8), max_size=5))
    Wire(data.draw(st.sampled_from([(), (5501,)]))).packet(flipped(packet, *bits))


# Tags.

KEY = bytes(range(16))
ENDS = {A: ("lnk", "depot"), B: ("lnk", "web1")}


@pytest.mark.parametrize("cut", [False, True])
def test_tags_are_removed_on_unknown_links(cut: bool) -> None:
    wire = Wire((5501,))
    sealed = LinkTag(KEY, 0, 1).seal(TRAIN)
    assert wire.send(sealed) == [cells(1, TRAIN)]
    if cut:
        packet = udp_packet(sealed, A, B)
        [remark, record] = wire.packet(packet[:-24 - 53])
        assert isinstance(remark, Remark)
        assert record == cells(2, TRAIN[:-53])


def test_tagged_datagrams_prove_to_be_cells() -> None:
    wire, tag = Wire(), LinkTag(KEY, 0, 1)
    assert wire.send(tag.seal(TRAIN[:53])) == []
    assert wire.send(tag.seal(TRAIN[53:])) == [cells(1, TRAIN[:53]), cells(2, TRAIN[53:])]
    assert Wire().send(bytes(53 + 24)) == []


def test_with_a_table_forged_datagrams_are_drops() -> None:
    tag, other = LinkTag(KEY, 0, 1), LinkTag(bytes(16), 0, 1)
    for key in (KEY, None):
        wire = Wire((5501,), names_of(ENDS, {"lnk": key}))
        assert wire.send(tag.seal(TRAIN)) == [Cells(1, "lnk", "out", TRAIN, "depot")]
        assert wire.send(LinkTag(KEY, 1, 1).seal(TRAIN), B, A) == [Cells(2, "lnk", "in", TRAIN, "depot")]
        [untagged] = wire.send(TRAIN)
        assert isinstance(untagged, Drop)
        assert untagged.reason == DropReason.BAD_TAG
        for forged in (other.seal(TRAIN), LinkTag(KEY, 1, 1).seal(TRAIN)):
            [record] = wire.send(forged)
            assert isinstance(record, Drop) == (key is not None)


def test_a_link_without_a_key_drops_tagged_datagrams() -> None:
    wire = Wire((5501,), names_of(ENDS))
    [drop] = wire.send(LinkTag(KEY, 0, 1).seal(TRAIN))
    assert isinstance(drop, Drop)
    assert drop.reason == DropReason.NOT_WHOLE_CELLS
