"""Fields: what each is for each item, as JSON and as columns."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.events import Drop, FrameSeen, Missed, SessionChange
from atmdepot.trace.items import Cell, HecVerdict, Item, Pdu, Session
from atmdepot.trace.names import VcName
from atmdepot.trace.show.fields import (
    BY_NAME,
    FIELDS,
    KINDS,
    FieldError,
    check_names,
    field_help,
    row,
    values,
)
from atmdepot.wire.aal5 import crc32
from atmdepot.wire.cell import CellHeader, hec
from atmdepot.wire.oam import OamPayload
from tests import ip_packets
from tests.trace import items as made
from tests.trace.filter_model import flow_in, header_in, packet_in, pti_in, vc_in

PLACE = made.Place("depot", "to-web1", "in")
WHEN = {"time": "2023-11-14T22:13:20.123456789Z", "epoch": 1700000000.123457}
AT = {"node": "depot", "link": "to-web1", "dir": "in"}
NAME = VcName("web1", "web1", "session")
ALL = list(BY_NAME)


# ── rows, to the letter ──

def test_the_row_of_a_cell() -> None:
    cell = made.cell_of(CellHeader(1, 64, 2, 1, 5), bytes(48), place=PLACE, name=NAME, hec=HecVerdict.CORRECTED)
    cell.position, cell.expected = 2, 3
    told = WHEN | AT | {
        "kind": "cell", "vpi": 1, "vci": 64, "vc": "1/64", "vp": "web1", "role": "session", "server": "web1",
        "cell_type": "user EFCI", "gfc": 5, "pti": 2, "clp": 1, "efci": True, "hec": f"{hec(cell.octets[:4]):02x}",
        "hec_verdict": "corrected", "position": 2, "expected": 3}
    assert row(cell) == told
    assert row(cell, hex=True) == told | {"octets": cell.octets.hex(), "payload": "00" * 48}
    cell.pdu = made.pdu_of(b"x")
    cell.pdu.session = Session(7, "web9")
    assert row(cell) == told | {"session": 7, "server": "web9"}


def test_the_row_of_an_oam_cell() -> None:
    cell = made.cell_of(CellHeader(1, 64, 5), OamPayload(1, 1, b"").pack())
    assert row(cell, ["oam_flow", "oam_reach", "oam_type", "oam_function", "oam_crc"]) == {
        "kind": "cell", "oam_flow": "F5", "oam_reach": "end-to-end", "oam_type": 1, "oam_function": "RDI",
        "oam_crc": "good"}
    cell = made.cell_of(CellHeader(1, 3), OamPayload(1, 8, b"").pack()[:-1] + b"\xFF")
    assert row(cell, ["oam_flow", "oam_reach", "oam_function", "oam_crc", "position", "src"]) == {
        "kind": "cell", "oam_flow": "F4", "oam_reach": "segment", "oam_function": "loopback", "oam_crc": "bad"}


def test_the_row_of_a_pdu() -> None:
    packet = ip_packets.tcp("10.9.0.2", 40000, "10.80.0.1", 80, 0x12, seq=7, ack=9, window=512, data=b"hello", dscp=46)
    pdu = made.pdu_of(packet, place=PLACE, begun=made.TIME - 10**9)
    pdu.name, pdu.session, pdu.clp, pdu.congested, pdu.hec_corrected = NAME, Session(3, "web1"), 1, True, 1
    told = WHEN | AT | {
        "kind": "pdu", "vpi": 1, "vci": 64, "vc": "1/64", "vp": "web1", "role": "session", "pti": 3, "clp": 1,
        "efci": True, "hec_corrected": 1, "begun": 1699999999.123457, "cells": 2, "length": 45, "pad": 43, "uu": 0,
        "cpi": 0, "crc": f"{crc32(pdu.octets[:-4]):08x}", "crc_verdict": "good", "unfinished": False,
        "encapsulation": "vc-mux", "ip_version": 4, "src": "10.9.0.2", "dst": "10.80.0.1", "protocol": "TCP",
        "sport": 40000, "dport": 80, "ip_len": 45, "dscp": 46, "fragment": False, "tcp_flags": "S.", "tcp_seq": 7,
        "tcp_ack": 9, "tcp_window": 512, "tcp_len": 5, "session": 3, "server": "web1"}
    assert row(pdu) == told
    assert row(pdu, hex=True) == told | {"octets": pdu.octets.hex(), "payload": packet.hex()}


def test_unknown_fields_of_a_pdu_are_left_out() -> None:
    unfinished = row(made.unfinished_pdu(bytes(48)))
    assert unfinished["problem"] == "reassembly-timeout"
    assert unfinished["unfinished"] is True
    assert unfinished["pti"] == 0
    assert unfinished.keys().isdisjoint({"length", "pad", "uu", "cpi", "crc", "src", "session", "node", "vp"})
    noise = row(made.pdu_of(b"\xFF" * 9))
    assert noise["no_packet"] == "no IP packet: it begins ff ff ff ff ff ff ff ff"
    assert row(made.pdu_of(ip_packets.ping("10.9.0.2", "10.9.0.3"))).keys().isdisjoint({"sport", "dport", "tcp_len"})


def test_the_trailers_octets() -> None:
    pdu = made.pdu_of(b"x")
    pdu.octets = pdu.octets[:-8] + bytes.fromhex("0A0B000112345678")
    assert values(pdu, ["uu", "cpi", "length", "crc", "pad"]) == ["10", "11", "1", "12345678", "39"]


def test_the_row_of_a_drop() -> None:
    packet = ip_packets.tcp("10.9.0.2", 40000, "10.80.0.1", 80, 2, data=bytes(1000))
    drop = Drop(made.TIME, "to-web1", "no-session", 2, packet[:256], None, "depot")
    told = row(drop)
    assert told == WHEN | {
        "kind": "drop", "node": "depot", "link": "to-web1", "ip_version": 4, "src": "10.9.0.2", "dst": "10.80.0.1",
        "protocol": "TCP", "sport": 40000, "dport": 80, "ip_len": 1040, "dscp": 0, "fragment": False, "tcp_flags": "S",
        "tcp_seq": 0, "tcp_ack": 0, "tcp_window": 65535, "tcp_len": 1000, "reason": "no-session", "count": 2,
        "unit": "packets",
        "reason_text": "it belongs to no session and opens none, so its server cannot be known"}
    assert row(drop, hex=True) == told | {"octets": packet[:256].hex()}
    assert row(Drop(0, "", "of-a-newer-daemon", 1, b"\x45", (1, 64))) == {
        "kind": "drop", "time": "1970-01-01T00:00:00.000000000Z", "epoch": 0.0, "vpi": 1, "vci": 64, "vc": "1/64",
        "reason": "of-a-newer-daemon", "count": 1}


def test_the_row_of_a_session_change() -> None:
    change = SessionChange(made.TIME, 42, "opened", "TCP", "10.9.0.2:40000", "10.80.0.1:80", "web1", "to-web1", (1, 64),
                           "UBR.1", "round-robin", "depot")
    assert row(change) == WHEN | {
        "kind": "session", "node": "depot", "link": "to-web1", "vpi": 1, "vci": 64, "vc": "1/64", "ip_version": 4,
        "src": "10.9.0.2", "dst": "10.80.0.1", "protocol": "TCP", "sport": 40000, "dport": 80, "session": 42,
        "server": "web1", "event": "opened", "why": "round-robin", "category": "UBR.1", "client": "10.9.0.2:40000",
        "service": "10.80.0.1:80"}


def test_the_row_of_missed_items() -> None:
    assert row(Missed(made.TIME, 5, 0, 1, "depot"), hex=True) == WHEN | {
        "kind": "missed", "node": "depot", "missed_cells": 5, "missed_drops": 0, "missed_sessions": 1}


# ── any item ──

def of_its_kind(item: Item) -> set[str]:
    return {field.name for field in FIELDS if type(item) in field.getters}


@given(made.items)
def test_rows_are_json_with_documented_keys(item: Item) -> None:
    told = row(item, hex=True)
    assert json.loads(msgspec.json.encode(told)) == json.loads(json.dumps(told)) == told
    assert told.keys() <= of_its_kind(item)
    assert told["kind"] == KINDS[type(item)]
    assert all(value is not None and value != "" for value in told.values())
    assert all(type(value) in (str, int, bool, float) for value in told.values())
    plain = row(item)
    assert plain == {name: value for name, value in told.items() if name not in ("octets", "payload")}


@given(made.items)
def test_rows_agree_with_the_model(item: Item) -> None:
    told = row(item)
    vc, flow, header, packet = vc_in(item), flow_in(item), header_in(item), packet_in(item)
    if isinstance(item, Cell):
        flow = packet = None
    if not isinstance(item, Drop) or flow is not None:  # of drops with a cut packet more is known
        assert (told.get("src"), told.get("dst")) == (flow and flow[1], flow and flow[3])
        assert told.get("sport") == (flow[2] if flow and flow[0] in (6, 17) else None)
        assert told.get("tcp_seq") == (packet.tcp.sequence if packet is not None and packet.tcp is not None else None)
    assert (told.get("vpi"), told.get("vci")) == (vc or (None, None))
    assert told.get("pti") == pti_in(item)
    assert told.get("gfc") == (header and header.gfc)
    time = datetime.fromisoformat(str(told["time"]))
    assert int(time.timestamp()) == item.time // 10**9
    assert str(told["time"]).endswith(f"{item.time % 10**9:09d}Z")
    assert time.tzinfo is UTC


@given(made.items, st.lists(st.sampled_from(ALL), max_size=6))
def test_columns_hold_the_values_of_rows(item: Item, names: list[str]) -> None:
    whole = row(item, hex=True)
    assert row(item, names) == {name: value for name, value in whole.items() if name in {"kind", *names}}
    columns = dict(zip(ALL, values(item, ALL), strict=True))
    for name, text in columns.items():
        value = whole.get(name, "")
        assert text == (str(int(value)) if isinstance(value, bool) else str(value))
    assert values(item, names) == [columns[name] for name in names]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_each_field_has_a_value_somewhere_for_each_kind(field: object) -> None:
    assert isinstance(field, type(FIELDS[0]))
    pdu = made.pdu_of(b"\xFF")
    pdu.problem = made.DropReason.OVERSIZE
    drops = [Drop(0, "l", "hec-error", 1, made.cell_of(CellHeader(1, 2, 4), bytes(48)).octets)]
    found = {type(item) for item in [*made.gallery(), pdu, *drops] if field.name in row(item, [field.name])}
    assert found == set(field.getters)


def test_no_text_breaks_a_column() -> None:
    change = SessionChange(0, 1, "opened", "TCP", "a\tb", "c\nd", "\x1b[31mred", "l\r", (1, 2), "é", "漢")
    assert values(change, ["client", "service", "server", "link", "category", "why"]) == [
        "a b", "c d", "?[31mred", "l ", "é", "漢"]


@pytest.mark.parametrize("time", [-1, -10**30, 10**30, 2**64, 253402300800 * 10**9])
def test_any_time_is_told(time: int) -> None:
    told = row(Missed(time))
    assert str(told["time"]).endswith(f"{time % 10**9:09d}Z")


# ── names ──

def test_names_come_one_by_one_or_with_commas() -> None:
    assert check_names(["vpi", "vci, CLP", "src,dst"]) == ["vpi", "vci", "clp", "src", "dst"]
    assert check_names([]) == []


@pytest.mark.parametrize(("text", "hint"), [
    ("vcii", 'no field "vcii": did you mean "vci"?'),
    ("vpi,tcpflags", 'no field "tcpflags": did you mean "tcp_flags"?'),
    ("xyzzy", 'no field "xyzzy": there are kind, time, epoch, node'), ("", 'no field "": there are kind'),
    ("\x1b", 'no field "?": there are'), ("x" * 1000, f'no field "{"x" * 40}": there are'),
])
def test_an_unknown_field_is_an_error_of_one_line(text: str, hint: str) -> None:
    with pytest.raises(FieldError, match=re.escape(hint)) as caught:
        check_names([text])
    assert str(caught.value).isprintable()


def test_the_help_has_every_field() -> None:
    lines = field_help().splitlines()
    assert len(lines) == len(FIELDS) == len(BY_NAME)
    for field, line in zip(FIELDS, lines, strict=True):
        kinds = ", ".join(kind for of, kind in KINDS.items() if of in field.getters)
        assert re.fullmatch(rf"  {field.name} +{re.escape(field.meaning)} \[{kinds}\]", line)


def test_kinds_cover_all_items() -> None:
    assert set(KINDS) == {Cell, Pdu, FrameSeen, Drop, SessionChange, Missed}
