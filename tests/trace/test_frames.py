"""Frames of Frame Relay in a trace: taps note them, lines and fields show them, captures hold them for tshark."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.events import Drop, FrameSeen, Missed
from atmdepot.net.tap import Tap, Taps
from atmdepot.trace.capture.files import open_capture
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.filter.filter import parse_filter
from atmdepot.trace.follow import Follower
from atmdepot.trace.show.clock import Stamp
from atmdepot.trace.show.fields import values
from atmdepot.trace.show.summary import summary
from atmdepot.trace.show.text import LinePrinter
from atmdepot.trace.tracer import Tracer
from atmdepot.wire.announcement import Announcement
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.frame_relay import Address, header_of
from atmdepot.wire.lmi import FULL, STATUS, Message, PvcStatus
from atmdepot.wire.statistics import ServerState, Statistics
from tests.ip_packets import SYN, tcp
from tests.network_in_memory import CLIENT4, VIP4, InMemoryNetwork
from tests.relay_network import relay_network

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wireshark import Wireshark

PACKET = tcp(CLIENT4, 4000, VIP4, 80, SYN)
FLOW = "10.9.0.2:4000 > 10.80.0.1:80"
FRAME = header_of(Address(200, de=True), 4) + PACKET
STATUS_ = Message(STATUS, FULL, 2, 3, (PvcStatus(100), PvcStatus(101, False, True))).pack()


def seen(octets: bytes, medium: str = "frame-relay") -> FrameSeen:
    return FrameSeen(1_700_000_000_000_000_000, "to-web1", "out", medium, octets, "depot")


def line(frame: FrameSeen | Drop) -> str:
    return LinePrinter(Stamp.NONE).line(frame)


@pytest.mark.parametrize(("frame", "told"), [
    (seen(FRAME), f"to-web1 out  DLCI 200 44 octets DE  IPv4 {FLOW} TCP [S] seq 0 win 65535 length 0"),
    (seen(STATUS_), "to-web1 out  DLCI 0   LMI status, full status, sent 2 heard 3: 100 101 inactive new"),
    (seen(b"\x04\x01\x03\xb1\0"), "to-web1 out  DLCI 16  5 octets"),
    (seen(b"\x05"), "to-web1 out  no DLCI  no address of two octets"),
    (seen(b"\0\1\3\x08"), "to-web1 out  DLCI 0   no LMI: the frame begins 00 01 03 08, not 00 01 03 08 00"),
    (seen(b"abc", "other"), "to-web1 out  other    3 octets"),
    (Drop(1, "to-web1", "unknown-dlci", 1, FRAME, (200,), "depot"),
     f"to-web1 DLCI 200 DROP 1 frame: unknown-dlci: {FRAME[:16].hex(' ')} ...  (no PVC has its DLCI)")])
def test_a_frames_line(frame: FrameSeen | Drop, told: str) -> None:
    assert line(frame) == told


@given(st.binary(max_size=60))
def test_any_octets_have_a_line_and_fields(octets: bytes) -> None:
    assert line(seen(octets)).startswith("to-web1 out")
    assert values(seen(octets), ["kind", "medium", "link"]) == ["frame", "frame-relay", "to-web1"]


def test_filters_look_into_frames() -> None:
    for words, is_met in (("tcp port 80", True), (f"host {CLIENT4}", True), ("udp", False), ("link to-web1", True),
                          ("drop", False), ("vpi 1", False), ("dir out", True)):
        assert parse_filter(words).matches(seen(FRAME)) is is_met, words


def test_a_tap_keeps_frames_and_counts_those_without_room() -> None:
    tap = Tap(bound=2048)
    for _ in range(20):
        tap.frame(seen(FRAME))
    [*frames, missed] = tap.take(10**6)
    assert all(frame == seen(FRAME) for frame in frames)
    assert isinstance(missed, Missed)
    assert missed.cells == 20 - len(frames) > 0


def test_a_nodes_frames_come_to_its_taps() -> None:
    net = InMemoryNetwork(relay_network(servers=1))
    paths: list[object] = []
    taps = Taps(net.depot, lambda: 0, paths.append)
    tap = Tap(drops=False, sessions=False)
    taps.add(tap)
    path = paths[-1]
    path.packets_from_host([PACKET], net.now)  # type: ignore[attr-defined]
    sent = path.transmit(0, net.now)  # type: ignore[attr-defined]
    path.octets_from_port("depot-web1", b"\x05", net.now)  # type: ignore[attr-defined]
    assert [(frame.link, frame.direction, frame.medium, frame.octets) for frame in tap.take(10**6)] == [  # type: ignore[union-attr]
        ("depot-web1", "out", "frame-relay", sent), ("depot-web1", "in", "frame-relay", b"\x05")]


@pytest.mark.tshark
def test_tshark_reads_a_capture_of_frames(tshark: Wireshark, tmp_path: Path) -> None:
    file = tmp_path / "frames.pcap"
    with open_writer(file, "frame-relay") as writer:
        totals = Tracer([seen(FRAME), seen(STATUS_), seen(b"abc", "other")], Follower(), level="pdu", keep=None,
                        shower=None, writer=writer, remark=print).run()
    assert totals.seen["frame"] == 3
    assert totals.not_written["frame"] == 1
    assert tshark.fields(file, "fr.dlci", "fr.de", "tcp.dstport", "q933.message_type") == [
        ["200", "1", "80", ""], ["0", "0", "", "0x7d"]]


ETHERNET = bytes.fromhex("020000000001020000000002 0800") + PACKET
CELL = CellHeader(vpi=1, vci=64).pack() + bytes(48)
OF_ALL = [
    FrameSeen(1_700_000_000_000_000_000, "to-web1", "out", "frame-relay", FRAME, "depot"),
    FrameSeen(1_700_000_000_000_000_001, "to-web1", "in", "frame-relay", FRAME, "web1"),
    FrameSeen(1_700_000_000_000_000_002, "eth1", "out", "frames", ETHERNET, "depot"),
    FrameSeen(1_700_000_000_000_000_003, "rewrite", "in", "client-side", PACKET, "depot"),
    FrameSeen(1_700_000_000_000_000_004, "rewrite", "out", "server-side", PACKET, "depot"),
    FrameSeen(1_700_000_000_000_000_005, "to-web2", "out", "frame-relay", FRAME, "depot")]
"""Frames of several nodes and bearers."""


def of_all(file: Path, **options: int) -> None:
    """Write them, and a cell."""
    with open_writer(file, "pcapng", **options) as writer:
        for each in OF_ALL:
            assert writer.frame(each.time, each.node, each.link, each.direction, each.medium, each.octets)
        assert writer.cells(OF_ALL[0].time, "depot", "to-web3", "out", CELL)
        assert not writer.frame(1, "depot", "to-web1", "out", "other", b"abc")


def test_a_capture_in_pcapng_gives_the_frames_of_all_nodes_and_bearers_back(tmp_path: Path) -> None:
    of_all(tmp_path / "all.pcapng")
    with open_capture(tmp_path / "all.pcapng") as source:
        *frames, cells = source
    assert frames == OF_ALL
    assert (cells.node, cells.link, cells.octets) == ("depot", "to-web3", CELL)
    assert source.passed_over == {}


def test_frames_in_pcapng_are_cut_to_the_snap_length(tmp_path: Path) -> None:
    of_all(tmp_path / "all.pcapng", snap=24)
    with open_capture(tmp_path / "all.pcapng") as source:
        assert [each.octets for each in source if isinstance(each, FrameSeen)] == [
            each.octets[:24] for each in OF_ALL]


@pytest.mark.tshark
def test_tshark_names_the_interface_of_each_frame_in_pcapng(tshark: Wireshark, tmp_path: Path) -> None:
    of_all(tmp_path / "all.pcapng")
    assert tshark.fields(tmp_path / "all.pcapng", "frame.interface_name", "fr.dlci", "eth.src", "tcp.dstport") == [
        ["depot:to-web1", "200", "", "80"], ["web1:to-web1", "200", "", "80"],
        ["depot:eth1", "", "02:00:00:00:00:02", "80"], ["depot:rewrite:client-side", "", "", "80"],
        ["depot:rewrite:server-side", "", "", "80"], ["depot:to-web2", "200", "", "80"],
        ["depot:to-web3", "", "", ""]]


def test_a_capture_of_frame_relay_is_read_back(tmp_path: Path) -> None:
    with open_writer(tmp_path / "relay.pcap", "frame-relay") as writer:
        writer.frame(5, "depot", "to-web1", "out", "frame-relay", FRAME)
    with open_capture(tmp_path / "relay.pcap") as source:
        assert list(source) == [FrameSeen(5, "link", "", "frame-relay", FRAME)]


def test_ethernet_of_other_captures_is_searched_for_datagrams(tmp_path: Path) -> None:
    """Only interfaces named as ours are have frames of a bearer."""
    with open_writer(tmp_path / "x.pcapng", "pcapng") as writer:
        writer.frame(5, "", "eth1", "out", "frames", ETHERNET)
    with open_capture(tmp_path / "x.pcapng") as source:
        assert list(source) == []
    assert sum(source.passed_over.values()) == 1


def test_captures_of_cells_have_no_place_for_frames() -> None:
    with open_writer(io.BytesIO(), "erf") as writer:
        assert not writer.frame(1, "depot", "to-web1", "out", "frame-relay", FRAME)


@pytest.mark.parametrize(("file_format", "lines"), [
    ("frame-relay", ["0 cells seen; taken: 1 frame", "x.pcap: 1 frame written"]),
    ("ip", ["0 cells seen; taken: 1 frame", "x.pcap: 1 packet written"]),
    ("erf", ["0 cells seen; taken: 1 frame", "x.pcap: 0 cells and 0 PDUs written; not in it: 1 frame",
             ("no frame was written: --format pcapng writes all frames, frame-relay or ethernet those of that medium, "
              "ip the packets in any")]),
    ("pcapng", ["0 cells seen; taken: 1 frame", "x.pcap: 1 frame written"]),
])
def test_the_summary_counts_frames_and_names_the_formats_that_take_them(
    file_format: str, lines: list[str], tmp_path: Path,
) -> None:
    with open_writer(tmp_path / "x.pcap", file_format) as writer:
        totals = Tracer([seen(FRAME)], Follower(), level="pdu", keep=None, shower=None, writer=writer,
                        remark=print).run()
    told = summary(totals, "pdu", [], writer.summary(), shown=False)
    assert [line.replace(f"{tmp_path}/", "") for line in told] == lines


@pytest.mark.parametrize(("level", "words", "reason"), [
    ("cell", "", "frames have no cells, so write --level pdu"), ("pdu", "role session", "the filter can take none"),
    ("pdu", "host 10.99.0.9", ""), ("pdu", "host 10.9.0.2", "")])
def test_the_summary_tells_why_no_frame_was_shown(level: str, words: str, reason: str) -> None:
    keep = parse_filter(words)
    totals = Tracer([seen(FRAME)], Follower(), level=level, keep=keep, shower=None, writer=None, remark=print).run()
    told = summary(totals, level, [], takes_frames=keep.takes_frames)
    assert len(told) == 1 + bool(reason)
    assert told[-1].startswith("1 frame of other bearers than ATM passed") == bool(reason)
    assert reason in told[-1]


def test_statistics_of_edge_nodes_are_told_as_over_atm() -> None:
    octets = Address(16).pack() + bytes((3,)) + Statistics(ServerState.ACCEPTS, 2, 7, 3, *[0] * 7).pack()
    assert "DLCI 16  statistics 7 of an edge node: server accepts, 3 flows" in line(seen(octets))


def test_messages_of_depots_are_told_in_words() -> None:
    octets = Address(16).pack() + bytes((3,)) + Announcement("main", "depot1", 7, 100).pack()
    assert "announcement: depot1 is active in set main, term 7" in LinePrinter(Stamp.NONE).line(
        FrameSeen(1, "to-web1", "out", "frame-relay", octets, "depot1"))
