"""Captures written and read back: all formats, snap lengths, rotation, what has no place in them."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.errors import AtmdepotError
from atmdepot.net.events import Cells, Missed
from atmdepot.trace.capture.erf import MAX_PDU_CELLS
from atmdepot.trace.capture.files import open_capture
from atmdepot.trace.capture.pcap import TIME_LIMIT
from atmdepot.trace.capture.write import ATM_FORMATS, open_writer
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Pdu
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen
from atmdepot.trace.tracer import Tracer
from atmdepot.wire.aal5 import cpcs_pdu
from atmdepot.wire.cell import CELL_SIZE, CellHeader, Interface, hec
from tests.trace.captures import cells_of, flipped, http_packet, train_of

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.trace.capture.write import CaptureWriter
    from atmdepot.trace.sources import SourceRecord

TIME = 1_700_000_000_123_456_789
TRAIN = train_of(http_packet(4))
PDU = cpcs_pdu(http_packet(4))
HEADER = TRAIN[:4]
CELL_FORMATS = [kind for kind in ATM_FORMATS if kind != "sunatm"]

times = st.integers(0, TIME_LIMIT - 1)
headers = st.builds(CellHeader, st.integers(0, 255), st.integers(0, 65535), st.integers(0, 7), st.integers(0, 1),
                    st.integers(0, 15)).map(CellHeader.pack)
cells = st.builds(bytes.__add__, headers, st.binary(min_size=48, max_size=48))
places = st.sampled_from([("depot", "to-web1", "out"), ("depot", "to-web1", "in"), ("web1", "uplink", "in"),
                          ("", "link", "out")])
pdus = st.integers(1, 5).flatmap(lambda count: st.binary(min_size=48 * count, max_size=48 * count))


def read(octets: bytes) -> list[SourceRecord]:
    return list(open_capture(io.BytesIO(octets)))


# ── there and back ──

@given(st.sampled_from(CELL_FORMATS), st.lists(st.tuples(times, places, st.lists(cells, min_size=1, max_size=3),
                                                         st.sampled_from(HecMark))))
def test_cells_there_and_back(
        kind: str, trains: list[tuple[int, tuple[str, str, str], list[bytes], HecMark]]) -> None:
    file, expected = io.BytesIO(), []
    with open_writer(file, kind) as writer:
        for time, (node, link, direction), train, mark in trains:
            assert writer.cells(time, node, link, direction, b"".join(train), mark)
            named = (link, node) if kind == "pcapng" else ("link", "")
            mark_read = HecMark.BAD if mark is HecMark.BAD else HecMark.ABSENT
            expected += [CapturedCells(time, named[0], direction, cell, named[1], mark_read) for cell in train]
    assert read(file.getvalue()) == expected
    assert writer.cell_count == len(expected)


@given(st.sampled_from(CELL_FORMATS), st.lists(st.tuples(times, places, headers, pdus, st.text(max_size=20),
                                                         st.integers(0, 100))))
def test_pdus_there_and_back(
        kind: str, sent: list[tuple[int, tuple[str, str, str], bytes, bytes, str, int]]) -> None:
    file, expected = io.BytesIO(), []
    with open_writer(file, kind) as writer:
        for time, (node, link, direction), header, pdu, comment, missing in sent:
            assert writer.pdu(time, node, link, direction, header[:4], pdu, comment, missing=missing)
            named = (link, node) if kind == "pcapng" else ("link", "")
            expected.append(PduSeen(time, named[0], direction, header[:4], pdu, True, missing, named[1]))
    assert read(file.getvalue()) == expected
    assert writer.pdu_count == len(expected)


@given(st.lists(st.tuples(times, st.sampled_from(["in", "out"]), st.integers(0, 255), st.integers(0, 65535),
                          st.binary(min_size=1, max_size=100), st.integers(0, 60))))
def test_sdus_there_and_back(sent: list[tuple[int, str, int, int, bytes, int]]) -> None:
    file, expected = io.BytesIO(), []
    with open_writer(file, "sunatm") as writer:
        for number, (time, direction, vpi, vci, sdu, missing) in enumerate(sent):
            header = CellHeader(vpi, vci, 1).pack()[:4]
            if number % 2:
                assert writer.pdu(time, "n", "l", direction, header, cpcs_pdu(sdu))
                missing = 0
            else:
                assert writer.pdu(time, "n", "l", direction, header, sdu, trailer=False, missing=missing)
            expected.append(PduSeen(time, "link", direction, header, sdu, False, missing))
    assert read(file.getvalue()) == expected


names = st.text("ab:.[]-1", min_size=1, max_size=20)


@given(st.lists(st.tuples(st.just("") | st.text("ab-1", min_size=1, max_size=20), names), min_size=1, max_size=5))
def test_names_of_nodes_and_links_there_and_back(places: list[tuple[str, str]]) -> None:
    """A link may be named by the addresses of its ends; a node's name has no colon."""
    file = io.BytesIO()
    with open_writer(file, "pcapng") as writer:
        for node, link in places:
            writer.pdu(TIME, node, link, "in", HEADER, PDU)
    assert [(record.node, record.link) for record in read(file.getvalue()) if isinstance(record, PduSeen)] == places


@pytest.mark.parametrize("kind", CELL_FORMATS)
@pytest.mark.parametrize("interface", Interface)
def test_a_corrected_cell_is_written_as_it_was_received(kind: str, interface: Interface) -> None:
    vpi = 300 if interface is Interface.NNI else 5
    train = flipped(train_of(http_packet(4), vpi, interface=interface), 53 * 8 + 5)
    file = io.BytesIO()
    with open_writer(file, kind) as writer:
        live = Tracer([Cells(TIME, "l", "in", train)], Follower(cells=True, interface=interface), level="all",
                      keep=None, shower=None, writer=writer, remark=print)
        live.run()
    follower = Follower(interface=interface)
    (pdu,) = (item for record in read(file.getvalue()) for item in follower.take(record))
    assert isinstance(pdu, Pdu)
    assert (pdu.vpi, pdu.sdu, pdu.problem) == (vpi, http_packet(4), None)
    assert file.getvalue().count(b"HEC corrected") == (kind == "pcapng")


@pytest.mark.parametrize("kind", ATM_FORMATS)
def test_of_a_pdu_that_began_in_a_gap_only_the_cells_are_written(kind: str) -> None:
    file = io.BytesIO()
    with open_writer(file, kind) as writer:
        run = Tracer([Missed(TIME, cells=1), Cells(TIME, "l", "in", b"".join(cells_of(TRAIN)[1:]))],
                     Follower(cells=True), level="all", keep=None, shower=None, writer=writer, remark=print)
        totals = run.run()
    assert [type(record) for record in read(file.getvalue())] == [CapturedCells] * (0 if kind == "sunatm" else 2)
    assert totals.not_written["PDU"] == 0


def test_a_wrong_hec_is_told_by_a_flag_and_made_right_on_reading() -> None:
    wrong = flipped(TRAIN, 37)
    for kind in CELL_FORMATS:
        file = io.BytesIO()
        with open_writer(file, kind) as writer:
            writer.cells(TIME, "n", "l", "in", wrong)
        records = read(file.getvalue())
        assert [record.hec for record in records if isinstance(record, CapturedCells)] == [
            HecMark.BAD, HecMark.ABSENT, HecMark.ABSENT]
        assert b"".join(record.octets for record in records if isinstance(record, Cells)) == TRAIN


def test_a_direction_that_is_not_known() -> None:
    for kind in ATM_FORMATS:
        file = io.BytesIO()
        with open_writer(file, kind) as writer:
            writer.cells(TIME, "n", "l", "", TRAIN)
            writer.pdu(TIME, "n", "l", "", HEADER, PDU)
        assert all(isinstance(record, Cells | PduSeen) for record in read(file.getvalue()))


# ── snap length ──

@pytest.mark.parametrize("kind", ATM_FORMATS)
def test_pdus_are_cut_to_the_snap_length_and_cells_are_whole(kind: str) -> None:
    for snap in (1, 40, 60, len(PDU) - 1, len(PDU), 10_000):
        file = io.BytesIO()
        with open_writer(file, kind, snap=snap) as writer:
            writer.cells(TIME, "n", "l", "out", TRAIN)
            writer.pdu(TIME, "n", "l", "out", HEADER, PDU)
        *train, pdu = read(file.getvalue())
        assert b"".join(record.octets for record in train if isinstance(record, Cells)) == (
            b"" if kind == "sunatm" else TRAIN)
        whole = http_packet(4) if kind == "sunatm" else PDU
        assert isinstance(pdu, PduSeen)
        assert (pdu.octets, pdu.missing) == (whole[:snap], max(0, len(whole) - snap))


# ── what has no place ──

def writer_to(file: io.BytesIO, kind: str = "erf") -> CaptureWriter:
    return open_writer(file, kind)


def test_omitted_items_are_counted_by_kind() -> None:
    erf = writer_to(io.BytesIO())
    greatest = bytes(MAX_PDU_CELLS * 48)
    assert erf.pdu(TIME, "n", "l", "in", HEADER, greatest)
    assert not erf.pdu(TIME, "n", "l", "in", HEADER, greatest + bytes(48))
    assert not erf.pdu(TIME, "n", "l", "in", HEADER, greatest, missing=1)
    assert not erf.pdu(TIME, "n", "l", "in", HEADER, b"sdu", trailer=False)
    for time in (-1, TIME_LIMIT, 1 << 62):
        assert not erf.pdu(time, "n", "l", "in", HEADER, PDU)
        assert not erf.cells(time, "n", "l", "in", TRAIN)
    assert erf.left_out == {f"PDUs of more than {MAX_PDU_CELLS} cells": 2, "PDUs without trailer": 1,
                            "PDUs of a time that captures cannot tell": 3,
                            "cells of a time that captures cannot tell": 9}
    assert erf.summary().endswith(
        "0 cells and 1 PDU written; left out: 2 PDUs of more than 1364 cells, 1 PDU without trailer, 3 PDUs of a "
        "time that captures cannot tell, 9 cells of a time that captures cannot tell")


@pytest.mark.parametrize("octets", [
    b"", bytes(48), bytes(47), PDU[:-6] + struct.pack(">H", 1) + PDU[-4:], PDU[:-6] + b"\xff\xff" + PDU[-4:]])
def test_a_pdu_without_a_sensible_length_has_no_sdu(octets: bytes) -> None:
    writer = writer_to(io.BytesIO(), "sunatm")
    assert not writer.pdu(TIME, "n", "l", "in", HEADER, octets)
    assert not writer.pdu(TIME, "n", "l", "in", HEADER, PDU, missing=1)
    assert writer.left_out == {"PDUs whose Length is wrong or cut off": 2}
    assert not writer.cells(TIME, "n", "l", "in", TRAIN)


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="one of erf, pcapng, sunatm, frame-relay, ethernet, ip, not pcap"):
        open_writer(io.BytesIO(), "pcap")


@pytest.mark.parametrize("size", [1, 52, 54, 80])
def test_a_part_of_a_cell_is_refused_unwritten(size: int) -> None:
    file = io.BytesIO()
    writer = writer_to(file)
    with pytest.raises(ValueError, match=f"{size} octets are no whole number"):
        writer.cells(TIME, "n", "l", "in", bytes(size))
    writer.close()
    assert read(file.getvalue()) == []
    assert writer.cell_count == 0


# ── pcapng ──

def blocks_of(octets: bytes) -> list[tuple[int, bytes]]:
    found = []
    while octets:
        kind, total = struct.unpack_from("<II", octets)
        assert octets[total - 4:total] == octets[4:8]
        found.append((kind, octets[8:total - 4]))
        octets = octets[total:]
    return found


def options_of(octets: bytes) -> dict[int, bytes]:
    found = {}
    while octets:
        code, length = struct.unpack_from("<HH", octets)
        found[code] = octets[4:4 + length]
        octets = octets[4 + (length + 3 & ~3):]
    assert found.pop(0) == b""
    return found


def test_the_blocks_of_a_pcapng_file() -> None:
    file = io.BytesIO()
    with open_writer(file, "pcapng", snap=100) as writer:
        writer.cells(TIME, "depot", "to-web1", "out", TRAIN)
        writer.cells(TIME, "web1", "uplink", "in", TRAIN[:CELL_SIZE])
        writer.cells(TIME, "web1", "spare", "in", TRAIN[:CELL_SIZE])
        writer.pdu(TIME, "depot", "to-web1", "in", HEADER, PDU[:48], "is it?")
        writer.missed("web1", 5)
        writer.missed("web1", 2)
        writer.missed("gone", 1)
    blocks = blocks_of(file.getvalue())
    assert [kind for kind, _ in blocks] == [0x0A0D0D0A, 1, 6, 6, 6, 1, 6, 1, 6, 6, 5, 5, 5]
    assert blocks[0][1][:16] == struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    told = options_of(blocks[0][1][16:])
    assert set(told) == {2, 3, 4}
    assert told[4].startswith(b"atmdepot ")
    assert struct.unpack_from("<HHI", blocks[1][1]) == (197, 0, 120)
    assert options_of(blocks[1][1][8:]) == {
        2: b"depot:to-web1", 3: b"ATM link to-web1, as node depot sees it", 9: b"\x09"}
    assert options_of(blocks[5][1][8:])[2] == b"web1:uplink"
    assert options_of(blocks[2][1][20 + 68:]) == {2: struct.pack("<I", 2)}
    assert options_of(blocks[6][1][20 + 68:]) == {2: struct.pack("<I", 1)}
    assert options_of(blocks[9][1][20 + 68:]) == {2: struct.pack("<I", 1), 1: b"is it?"}
    when = struct.pack("<II", TIME >> 32, TIME & 0xFFFFFFFF)
    for number, (passed, missed) in enumerate(((3, 0), (1, 7), (1, 0))):
        told = blocks[10 + number][1]
        assert told[:12] == struct.pack("<I", number) + when
        assert options_of(told[12:]) == {4: struct.pack("<Q", passed), 5: struct.pack("<Q", missed)}


def test_a_link_without_node_has_its_own_name_and_long_comments_are_cut() -> None:
    file = io.BytesIO()
    with open_writer(file, "pcapng") as writer:
        writer.pdu(TIME, "", "link", "in", HEADER, PDU, "x" * 100_000)
    blocks = blocks_of(file.getvalue())
    assert options_of(blocks[1][1][8:]) == {2: b"link", 3: b"ATM link link", 9: b"\x09"}
    assert len(options_of(blocks[2][1][20 + 16 + 4 + len(PDU):])[1]) == 1000


# ── files ──

@pytest.mark.parametrize("kind", ATM_FORMATS)
def test_the_file_is_made_with_its_first_record_and_complete_when_empty(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    writer = open_writer(path, kind)
    assert not path.exists()
    writer.flush()
    assert read(path.read_bytes()) == []
    size = path.stat().st_size
    writer.flush()
    writer.close()
    writer.close()
    assert path.stat().st_size == size
    with open_writer(tmp_path / "y", kind):
        pass
    assert read((tmp_path / "y").read_bytes()) == []


def test_a_failure_before_the_first_record_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"precious")
    with pytest.raises(KeyError), open_writer(path):
        raise KeyError
    assert path.read_bytes() == b"precious"
    with contextlib.suppress(KeyError), open_writer(path) as writer:
        writer.cells(TIME, "n", "l", "in", TRAIN)
        raise KeyError
    assert len(read(path.read_bytes())) == 3


def test_each_record_is_there_at_once_if_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with open_writer(path, flush_each=True) as writer:
        for count in range(1, 4):
            writer.cells(TIME, "n", "l", "in", TRAIN[:CELL_SIZE])
            assert len(read(path.read_bytes())) == count
    with open_writer(path) as writer:
        writer.cells(TIME, "n", "l", "in", TRAIN)
        assert path.stat().st_size == 0
        writer.flush()
        assert len(read(path.read_bytes())) == 3


@pytest.mark.parametrize("kind", CELL_FORMATS)
def test_every_file_of_a_rotation_is_whole_and_none_loses_a_record(kind: str, tmp_path: Path) -> None:
    with open_writer(tmp_path / "cells.pcap", kind, max_octets=1500) as writer:
        for number in range(60):
            for node, link in (("depot", "to-web1"), ("web1", "uplink")):
                writer.cells(TIME + number, node, link, "out", TRAIN[:CELL_SIZE])
        writer.missed("web1", 3)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) > 5
    assert paths[0].name == "cells_00001_20231114221320.pcap"
    times = []
    for path in paths:
        assert path.stat().st_size < 1500 + 300
        records = read(path.read_bytes())
        assert records
        times += [record.time for record in records if isinstance(record, CapturedCells)]
        if kind == "pcapng":
            blocks = [block for block, _ in blocks_of(path.read_bytes())]
            assert blocks.count(1) == blocks.count(5) == 2
    assert times == [TIME + number // 2 for number in range(120)]
    assert f"(the last of {len(paths)} files): 120 cells and 0 PDUs written" in writer.summary()


def test_files_by_the_records_time_and_by_a_clock(tmp_path: Path) -> None:
    now = iter(range(0, 10**12, 10**9))
    for name, clock in (("records", None), ("clock", lambda: next(now))):
        (tmp_path / name).mkdir()
        with open_writer(tmp_path / name / "x", every=10 * 10**9, files=3, clock=clock) as writer:
            for number in range(50):
                writer.cells(TIME + number * (10**9 if clock is None else 0), "n", "l", "out", TRAIN[:CELL_SIZE])
        counts = [len(read(path.read_bytes())) for path in sorted((tmp_path / name).iterdir())]
        assert counts == [10, 10, 10]
    assert sorted(path.name for path in (tmp_path / "clock").iterdir()) == [
        "x_00003_19700101000020", "x_00004_19700101000030", "x_00005_19700101000040"]


def test_a_capture_is_not_written_over_itself(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"")
    with pytest.raises(AtmdepotError, match="being read"):
        open_writer(path, not_over=[path])


def test_the_cells_of_a_train_keep_their_order_and_octets() -> None:
    file = io.BytesIO()
    with open_writer(file) as writer:
        writer.cells(TIME, "n", "l", "out", TRAIN * 50)
    seen = [record.octets for record in read(file.getvalue()) if isinstance(record, Cells)]
    assert seen == cells_of(TRAIN * 50)
    assert all(hec(cell[:4]) == cell[4] for cell in seen)
