"""The Lua dissector, run by tshark over captures made with our codecs; and how it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from atmdepot.atm.sar import Reassembler
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.config.reading import load
from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.trace.capture.pcap import LinkType, PcapWriter
from atmdepot.trace.wireshark import FILE_NAME, install, plugin_folder
from atmdepot.wire.aal5 import CrcMode, cpcs_pdu, crc32, to_cells
from atmdepot.wire.announcement import Announcement, Flows, Recall, ToldFlow
from atmdepot.wire.cell import CellHeader, Interface, hec
from atmdepot.wire.link_tag import LinkTag
from atmdepot.wire.llc import Encapsulation, encapsulate
from atmdepot.wire.oam import ActivationFunction, OamPayload
from atmdepot.wire.oam_messages import Activation, Backward, Direction, Forward, Loopback, Request
from atmdepot.wire.statistics import ProxyFigures, ServerState, Statistics
from tests.aal5 import abort_pdu
from tests.effort import examples
from tests.ip_packets import ACK, PSH, SYN, ip, tcp, udp
from tests.trace.captures import REQUEST, cells_of, flipped, http_packet, train_of
from tests.wireshark import Wireshark

ROOT = Path(__file__).parents[2]
LUA = ROOT / "atmdepot" / "trace" / "wireshark" / FILE_NAME
NEAR, FAR = "172.31.1.1", "172.31.1.2"
CLIENT, SERVICE = "10.9.0.2", "10.80.0.1"
TIME = 1_700_000_000_000_000_000
CELL = "atmdepot.cell."
PDU = "atmdepot.aal5."


class Dissector(Wireshark):
    """tshark with the dissector, and none that is installed on this machine; no error of Lua's passes."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "config")
        self.environment |= {"HOME": str(home)}

    def tshark(self, file: Path, *arguments: str) -> str:
        return self.without_script(file, "-X", f"lua_script:{LUA}", *arguments)

    def without_script(self, file: Path, *arguments: str) -> str:
        return super().tshark(file, *arguments)

    def only_fields(self, file: Path, *names: str, options: tuple[str, ...] = ()) -> list[list[list[str]]]:
        """For each frame, and each field, its values in order."""
        wanted = [option for name in (*names, "_ws.lua.error") for option in ("-e", name)]
        told = self.tshark(file, *options, "-T", "fields", "-E", "aggregator=|", *wanted)
        lines = [line.split("\t") for line in told.split("\n")[:-1]]
        assert not any(error for *_, error in lines)
        return [[values.split("|") if values else [] for values in line[:-1]] for line in lines]

    def lines(self, file: Path, *options: str) -> list[str]:
        """The info column of each frame."""
        return self.tshark(file, *options, "-T", "fields", "-e", "_ws.col.Info").splitlines()

    def names(self, report: str, pattern: str) -> set[str]:
        """The matches of a pattern in one of tshark's reports."""
        return set(re.findall(pattern, self._run("tshark", "-G", report, "-X", f"lua_script:{LUA}")))

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "lua error:" not in (done.stderr + done.stdout).lower(), done
        assert "lua" not in done.stderr.lower(), done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def lua(tshark: Wireshark, tmp_path_factory: pytest.TempPathFactory) -> Dissector:
    """`tshark` skips, or fails in CI, where there is none."""
    return Dissector(tmp_path_factory.mktemp("home"))


@dataclass
class Link:
    """A capture of a UDP link: datagrams with cells, in one direction or the other."""

    path: Path
    datagrams: list[tuple[bytes, int]] = field(default_factory=list)

    def send(self, *trains: bytes, back: bool = False, port: int = 5501, kept: int | None = None) -> Link:
        """A datagram for each train; `kept` is how many of its octets are in the capture."""
        ends = (FAR, NEAR) if back else (NEAR, FAR)
        for train in trains:
            packet = udp(ends[0], port, ends[1], port, train)
            self.datagrams.append((packet, len(packet) if kept is None else kept + 28))
        return self

    def packet(self, octets: bytes) -> Link:
        self.datagrams.append((octets, len(octets)))
        return self

    def file(self) -> Path:
        with self.path.open("wb") as file:
            writer = PcapWriter(file, LinkType.RAW_IP)
            for n, (packet, kept) in enumerate(self.datagrams):
                writer.write(TIME + n * 1_000_000, packet[:kept], len(packet))
        return self.path


@pytest.fixture
def link(tmp_path: Path) -> Link:
    return Link(tmp_path / "link.pcap")


def cell(vpi: int, vci: int, pti: int = 0, clp: int = 0, gfc: int = 0, payload: bytes = b"\x6A" * 48) -> bytes:
    return CellHeader(vpi, vci, pti, clp, gfc).pack() + payload


def oam(kind: int, function: int, content: bytes = b"", *, vci: int = 40, pti: int = 5) -> bytes:
    return cell(1, vci, pti, payload=OamPayload(kind, function, content).pack())


def pdu_train(pdu: bytes, vpi: int = 1, vci: int = 64) -> bytes:
    return to_cells(pdu, *(CellHeader(vpi, vci, pti).pack() for pti in (0, 1)))


def carrying(packet: bytes, encapsulation: Encapsulation = Encapsulation.VC_MUX, vci: int = 64) -> bytes:
    return train_of(encapsulate(packet, encapsulation), 1, vci)


def get(page: str, port: int, version: int = 4) -> bytes:
    """A packet with a request for a page, from a port of its own: the same twice would be a retransmission."""
    source, destination = (CLIENT, SERVICE) if version == 4 else ("2001:db8::1", "2001:db8::80")
    return tcp(source, port, destination, 80, ACK | PSH, seq=1, ack=1, data=REQUEST.replace(b"index", page.encode()))


def split(train: bytes, *cells: int) -> list[bytes]:
    """A train cut after so many cells each."""
    parts = []
    for count in cells:
        parts.append(train[:count * 53])
        train = train[count * 53:]
    return [*parts, train] if train else parts


# ── cells ──


def test_the_fields_of_user_cells(lua: Dissector, link: Link) -> None:
    link.send(cell(1, 64) + cell(255, 65535, 3, 1, 15) + cell(7, 1234, 2))
    [[cells, vpi, vci, pti, efci, clp, gfc, check, status]] = lua.only_fields(
        link.file(), "atmdepot.cells", *(CELL + name for name in (
            "vpi", "vci", "pti", "efci", "clp", "gfc", "hec", "hec.status")))
    assert cells == ["3"]
    assert (vpi, vci) == (["1", "255", "7"], ["64", "65535", "1234"])
    assert (pti, efci, clp, gfc) == (["0", "3", "2"], ["0", "1", "1"], ["0", "1", "0"], ["0", "15", "0"])
    assert [int(value, 16) for value in check] == [
        hec(CellHeader(*fields).pack()[:4]) for fields in ((1, 64), (255, 65535, 3, 1, 15), (7, 1234, 2))]
    assert status == ["correct"] * 3


def test_an_nni_has_vpis_of_twelve_bits(lua: Dissector, link: Link) -> None:
    link.send(train_of(http_packet(4), 4095, 64, interface=Interface.NNI))
    nni = "-o", "atmdepot.interface:NNI"
    [[vpi, gfc, pdu_vpi]] = lua.only_fields(link.file(), CELL + "vpi", CELL + "gfc", PDU + "vpi", options=nni)
    assert (set(vpi), gfc, pdu_vpi) == ({"4095"}, [], ["4095"])
    [[vpi, gfc]] = lua.only_fields(link.path, CELL + "vpi", CELL + "gfc")
    assert (set(vpi), set(gfc)) == ({"255"}, {"15"})


def test_any_one_wrong_bit_of_a_header_is_corrected(lua: Dissector, link: Link) -> None:
    train = train_of(b"\x42" * 60, 0xA5, 0x5AA5)
    link.send(*[flipped(train, bit) for bit in range(40)])
    told = lua.only_fields(link.file(), CELL + "vpi", CELL + "vci", CELL + "pti", CELL + "hec.status",
                           "atmdepot.expert.hec_corrected", PDU + "crc.status")
    right = [[str(0xA5)] * 2, [str(0x5AA5)] * 2, ["0", "1"], ["corrected", "correct"], ["good"]]
    assert [[*values[:4], values[5]] for values in told] == [right] * 40
    assert [len(values[4]) for values in told] == [1] * 40


def test_after_an_error_no_header_is_corrected_until_one_is_right(lua: Dissector, link: Link) -> None:
    one = cell(1, 64)
    link.send(flipped(one, 3) + flipped(one, 5))
    link.send(flipped(one, 7), back=True).send(flipped(one, 9) + one + flipped(one, 9) + flipped(one, 1, 2))
    told = lua.only_fields(link.file(), CELL + "hec.status", "atmdepot.expert.hec_wrong", CELL + "place")
    assert [status for status, _, _ in told] == [
        ["corrected", "not corrected"], ["corrected"], ["not corrected", "correct", "corrected", "wrong"]]
    assert [len(wrong) for _, wrong, _ in told] == [1, 0, 2]
    assert [place for _, _, place in told] == [["1"], ["1"], ["2", "3"]]


def test_idle_cells_and_cells_without_user_data(lua: Dissector, link: Link) -> None:
    idle = bytes.fromhex("0000000152") + b"\x6A" * 48
    link.send(idle, idle + cell(0, 0), cell(3, 64, 6), cell(3, 1))
    [line, two, rm, meta] = lua.lines(link.file())
    assert (line, two) == ("1 cell, idle", "2 cells, idle")
    assert rm == "1 cell, RM 3/64"
    assert meta == "1 cell, 3/1"
    told = lua.only_fields(link.path, CELL + "idle", CELL + "place")
    assert told == [[["1"], []], [["1", "1"], []], [[], []], [[], []]]


# ── OAM ──


@pytest.mark.parametrize(("payload", "name"), [
    ("10" + "6A" * 45 + "03B9", "AIS"), ("11" + "6A" * 45 + "00AF", "RDI"),
    ("14" + "6A" * 45 + "0387", "continuity check"),
    ("1801" + "00000001" + "FF" * 16 + "6A" * 24 + "0309", "loopback"),
])
def test_oam_cells_and_their_crc(payload: str, name: str, lua: Dissector, link: Link) -> None:
    octets = bytes.fromhex(payload)
    link.send(cell(1, 40, 5, payload=octets), cell(1, 40, 4, payload=flipped(octets, 383)),
              cell(1, 3, payload=octets), cell(1, 4, payload=octets))
    names = "flow", "type", "function", "crc", "crc.status"
    told = lua.only_fields(link.file(), *("atmdepot.oam." + field for field in names), "atmdepot.expert.oam_crc_bad")
    flows = [flow for [flow], *_ in told]
    assert flows == ["F5 end-to-end", "F5 segment", "F4 segment", "F4 end-to-end"]
    assert [crc for *_, crc, _ in told] == [["correct"], ["wrong"], ["correct"], ["correct"]]
    assert [len(expert) for *_, expert in told] == [0, 1, 0, 0]
    _, kind, function, crc, _, _ = told[0]
    assert (kind, function) == (["1"], [str(octets[0] & 15)])
    assert int(crc[0], 16) == int(payload[-4:], 16)
    assert lua.lines(link.path)[0] == f"1 cell, OAM F5 end-to-end {name} 1/40"


def test_fields_of_loopback_and_defect_cells(lua: Dissector, link: Link) -> None:
    location, source = bytes(range(16)), bytes(range(16, 32))
    link.send(oam(1, 8, b"\x01" + b"\xAB\xCD\xEF\x01" + location + source), oam(1, 1, b"\x07" + location),
              oam(15, 0, b"\x55"), oam(9, 9))
    names = "loopback.indication", "loopback.tag", "loopback.location", "loopback.source", "defect_type", \
        "defect_location", "specific"
    loopback, rdi, management, unknown = lua.only_fields(link.file(), *("atmdepot.oam." + name for name in names))
    assert loopback == [["1"], ["0xabcdef01"], [location.hex()], [source.hex()], [], [], []]
    assert rdi == [[], [], [], [], ["0x07"], [location.hex()], []]
    assert management[-1] == ["55" + "6a" * 44]
    assert unknown[-1] == ["6a" * 45]
    assert lua.lines(link.path)[3] == "1 cell, OAM F5 end-to-end type 9 function 9 1/40"


def oam_cell(payload: bytes) -> bytes:
    return cell(1, 4, payload=payload)


def test_fields_of_the_older_loopback(lua: Dissector, link: Link) -> None:
    location, source = bytes(range(12)), bytes(range(16, 28))
    link.send(oam_cell(Loopback(True, 7, location, source, older=True).pack()))
    [[where, whence]] = lua.only_fields(link.file(), "atmdepot.oam.loopback.location", "atmdepot.oam.loopback.source")
    assert (where, whence) == ([location.hex()], [source.hex()])


def test_fields_of_monitoring_and_activation_cells(lua: Dissector, link: Link) -> None:
    forward, backward = Forward(3, 4000, 0xBEEF, 3000), Backward(4, 5000, 4500, 3, 1, 4400, 2, 4900)
    asked = Activation(ActivationFunction.CONTINUITY_CHECK, Request.ACTIVATE, Direction.BOTH, 9)
    link.send(oam_cell(forward.pack()), oam_cell(backward.pack()), oam_cell(asked.pack()), oam(5, 1))
    pm = "sequence", "cells", "bip16", "cells_clp0", "reported", "bad_blocks", "received_clp0", "errors", "received"
    one, two, three, _ = lua.only_fields(
        link.file(), *(f"atmdepot.oam.pm.{name}" for name in pm),
        *(f"atmdepot.oam.activation.{name}" for name in ("message", "direction", "tag")))
    assert one == [["3"], ["4000"], ["0xbeef"], ["3000"], *[[]] * 8]
    assert two == [["4"], ["5000"], ["0x6a6a"], ["4500"], ["3"], ["1"], ["4400"], ["2"], ["4900"], *[[]] * 3]
    assert three == [*[[]] * 9, ["1"], ["3"], ["0x09"]]
    assert [line.split("OAM ")[1] for line in lua.lines(link.path)] == [
        "F4 end-to-end forward monitoring 1/4", "F4 end-to-end backward reporting 1/4",
        "F4 end-to-end continuity check activation 1/4",
        "F5 end-to-end individual protection switching (APS) 1/40"]


# ── what PDUs carry ──


def ethernet(packet: bytes) -> bytes:
    ethertype = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    return bytes.fromhex("020000000001020000000002") + ethertype.to_bytes(2, "big") + packet


@pytest.mark.parametrize("encapsulation", list(Encapsulation))
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("in_one", [True, False], ids=["train", "cells"])
def test_http_is_seen_through_every_encapsulation(
        in_one: bool, version: int, encapsulation: Encapsulation, lua: Dissector, link: Link) -> None:
    packet = http_packet(version)
    bridged = encapsulation in (Encapsulation.VC_MUX_BRIDGED, Encapsulation.LLC_BRIDGED)
    train = carrying(ethernet(packet) if bridged else packet, encapsulation)
    count = len(train) // 53
    choice = {Encapsulation.VC_MUX: "VC-mux", Encapsulation.VC_MUX_BRIDGED: "VC-mux bridged"}.get(encapsulation, "LLC")
    link.send(*[train] if in_one else cells_of(train))
    for options in ((), ("-o", f"atmdepot.encapsulation:{choice}")):
        told = lua.only_fields(link.file(), "http.request.uri", "tcp.checksum.status", PDU + "cells", options=options)
        assert told[-1] == [["/index.html"], ["1"], [str(count)]]
        assert told[:-1] == [] if in_one else [[[], [], []]] * (count - 1)


def test_a_wrong_choice_of_encapsulation_shows_no_ip(lua: Dissector, link: Link) -> None:
    link.send(carrying(http_packet(4), Encapsulation.LLC), carrying(http_packet(4)))
    llc = lua.only_fields(link.file(), "http.request.uri", options=("-o", "atmdepot.encapsulation:LLC"))
    assert llc == [[["/index.html"]], [[]]]
    vc_mux = lua.only_fields(link.path, "http.request.uri", options=("-o", "atmdepot.encapsulation:VC-mux"))
    assert vc_mux == [[[]], [["/index.html"]]]


def test_ilmi_has_a_vci_of_its_own(lua: Dissector, link: Link) -> None:
    get = bytes.fromhex("302602010004067075626c6963a01902012a020100020100300e300c06082b060102010101000500")
    link.send(train_of(get, 0, 16))
    assert lua.only_fields(link.file(), "snmp.request_id") == [[["42"]]]


def test_the_report_of_an_edge_node(lua: Dissector, link: Link) -> None:
    report = Statistics(ServerState.ACCEPTS, 2, 77, 3, 10, 11, 1000, 1 << 40, 1500, 250, TIME, 7, 189)
    link.send(train_of(report.pack(), 1, 33))
    names = ("server", "cores", "sequence", "flows", "packets_in", "packets_out", "octets_in", "octets_out", "load",
             "connect_time", "time", "fillers_sent", "idle_received")
    [values] = lua.only_fields(link.file(), *("atmdepot.statistics." + name for name in names))
    assert values == [[str(int(value))] for value in report[:len(names)]]
    assert lua.lines(link.path) == ["Edge node's statistics: server accepts connections"]


def test_a_report_of_a_later_version_is_read_as_far_as_it_is_known(lua: Dissector, link: Link) -> None:
    report = Statistics(ServerState.ACCEPTS, 2, 77, 3, 10, 11, 1000, 1 << 40, 1500, 250, TIME).pack()
    link.send(train_of(report[:4] + b"\4" + report[5:] + bytes(9 + 36) + b"new", 1, 33))
    link.send(train_of(report[:4] + b"\4" + report[5:], 1, 33))
    link.send(train_of(report[:4] + b"\0" + report[5:] + b"new", 1, 33))
    names = ("atmdepot.statistics.version", "atmdepot.statistics.sequence", "atmdepot.statistics.appended")
    assert lua.only_fields(link.file(), *names) == [[["4"], ["77"], ["6e6577"]], [[], [], []], [[], [], []]]


def test_a_report_tells_the_depot_that_is_followed(lua: Dissector, link: Link) -> None:
    report = Statistics(ServerState.ACCEPTS, 2, 77, 3, 0, 0, 0, 0, 0, 0, TIME, term=7, follows="depot2").pack()
    link.send(train_of(report, 1, 33), train_of(report[:-1], 1, 33))
    names = ("atmdepot.statistics.version", "atmdepot.statistics.term", "atmdepot.statistics.follows")
    assert lua.only_fields(link.file(), *names) == [[["2"], ["7"], ["depot2"]], [[], [], []]]


def test_a_report_tells_what_a_proxy_did(lua: Dissector, link: Link) -> None:
    told = ProxyFigures(1 << 40, 3, 4, 5, 6)
    report = Statistics(ServerState.ACCEPTS, 2, 77, 3, 0, 0, 0, 0, 0, 0, TIME, term=7, follows="d", proxy=told).pack()
    link.send(train_of(report, 1, 33), train_of(report[:-1], 1, 33))
    names = ("atmdepot.statistics.follows", *("atmdepot.statistics." + name for name in told._fields))
    assert lua.only_fields(link.file(), *names) == [[["d"], *([str(value)] for value in told)], [[]] * 6]


def test_what_depots_and_edge_nodes_tell_each_other(lua: Dissector, link: Link) -> None:
    key = bytes((6, 10, 9, 0, 2, 0x13, 0x88, 10, 80, 0, 1, 0, 80))
    key6 = bytes((6, *range(16), 0x13, 0x88, *range(16), 0, 80))
    link.send(train_of(Announcement("main", "depot2", 7, 100).pack(), 1, 33))
    link.send(train_of(Recall(3, 1500).pack(), 1, 33))
    told = [ToldFlow(key, 64, 3), ToldFlow(key6, 65, 4, is_half_open=True)]
    link.send(train_of(Flows(3, 1, True, told).pack(), 1, 33))
    names = ("atmdepot.announcement.term", "atmdepot.announcement.set", "atmdepot.announcement.node",
             "atmdepot.recall.number", "atmdepot.recall.since", "atmdepot.flows.number", "atmdepot.flows.client",
             "atmdepot.flows.service", "atmdepot.flows.client6", "atmdepot.flows.client_port", "atmdepot.flows.vci",
             "atmdepot.flows.age", "atmdepot.flows.half_open")
    assert lua.only_fields(link.file(), *names) == [
        [["7"], ["main"], ["depot2"], *[[]] * 10], [[], [], [], ["3"], ["1500"], *[[]] * 8],
        [[], [], [], [], [], ["3"], ["10.9.0.2"], ["10.80.0.1"], ["1:203:405:607:809:a0b:c0d:e0f"],
         ["5000", "5000"], ["64", "65"], ["3", "4"], ["0", "1"]]]
    assert lua.lines(link.path) == [f"Depots and edge nodes: {kind}" for kind in ("announcement", "recall", "flows")]


def test_a_cut_message_is_data(lua: Dissector, link: Link) -> None:
    for message in (Announcement("main", "depot2", 7, 100), Recall(3), Flows(3, 1, True, [ToldFlow(bytes(13), 64, 3)])):
        link.send(train_of(message.pack()[:-1], 1, 33))
    assert lua.only_fields(link.file(), "atmdepot.message.type") == [[[]]] * 3


def test_unknown_sdus_are_data(lua: Dissector, link: Link) -> None:
    link.send(train_of(b"\x42" * 100, 1, 64), train_of(b"\x44" * 100, 1, 64))
    told = lua.only_fields(link.file(), "data.len", PDU + "status")
    assert told == [[["100"], ["good"]]] * 2
    assert lua.lines(link.path) == ["AAL5 PDU, 1/64, 3 cells, Length 100"] * 2


# ── PDUs ──


def test_interleaved_vcs_in_both_directions_are_kept_apart(lua: Dissector, link: Link) -> None:
    one, two = cells_of(carrying(get("one", 1001), vci=64)), cells_of(carrying(get("two", 1002, 6), vci=65))
    three = cells_of(carrying(get("three", 1003), vci=64))
    for n in range(max(len(one), len(two))):
        link.send(b"".join(one[n:n + 1] + two[n:n + 1])).send(*three[n:n + 1], back=True)
    told = lua.only_fields(link.file(), "http.request.uri", PDU + "vci", PDU + "crc.status")
    seen = [told_once for values in told for told_once in zip(*values, strict=True)]
    assert seen == [("/one.html", "64", "good"), ("/three.html", "64", "good"), ("/two.html", "65", "good")]


def conversation() -> tuple[list[bytes], list[bytes], bytes]:
    """A request and an answer of several segments: the packets of each direction, and the answer's octets."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6000\r\nContent-Type: text/plain\r\n\r\n" + b"0123456789" * 600
    there = [tcp(CLIENT, 40000, SERVICE, 80, SYN, seq=99),
             tcp(CLIENT, 40000, SERVICE, 80, ACK | PSH, seq=100, ack=500, data=REQUEST)]
    back = [tcp(SERVICE, 80, CLIENT, 40000, SYN | ACK, seq=499, ack=100)]
    for at in range(0, len(answer), 1000):
        back.append(tcp(SERVICE, 80, CLIENT, 40000, ACK | PSH, seq=500 + at, ack=100 + len(REQUEST),
                        data=answer[at:at + 1000]))
    return there, back, answer


def send_conversation(link: Link, *cuts: int) -> bytes:
    """The conversation, its answer in datagrams of so many cells, whatever ends in them."""
    there, back, answer = conversation()
    link.send(carrying(there[0])).send(carrying(back[0]), back=True).send(carrying(there[1]))
    link.send(*split(b"".join(map(carrying, back[1:])), *cuts), back=True)
    return answer


@pytest.mark.parametrize("cuts", [(), (30, 1, 50), (1,) * 139])
def test_tcp_streams_can_be_followed_however_datagrams_are_cut(
        cuts: tuple[int, ...], lua: Dissector, link: Link) -> None:
    answer = send_conversation(link, *cuts)
    [[code, length]] = [values for values in lua.only_fields(link.file(), "http.response.code", "http.content_length")
                        if values[0]]
    assert (code, length) == (["200"], ["6000"])
    told = lua.tshark(link.path, "-q", "-z", "follow,tcp,raw,0")
    assert answer.hex() in "".join(line.strip() for line in told.splitlines() if re.fullmatch(r"\t[0-9a-f]+", line))
    assert not lua.tshark(link.path, "-Y", "tcp.analysis.flags")


def test_several_pdus_of_a_datagram_speak_in_the_info_column(lua: Dissector, link: Link) -> None:
    there, _, _ = conversation()
    link.send(b"".join(map(carrying, there)))
    [line] = lua.lines(link.file())
    assert re.fullmatch(r"40000 . 80 \[SYN\] Seq=0.*; GET /index.html HTTP/1.1 ?", line)


def test_the_two_passes_of_tshark_see_the_same(lua: Dissector, link: Link) -> None:
    send_conversation(link, 20, 30, 40, 7)
    names = "frame.protocols", CELL + "place", PDU + "cells", PDU + "crc", PDU + "first_frame", "tcp.len"
    once = lua.only_fields(link.file(), *names)
    assert lua.only_fields(link.path, *names, options=("-2",)) == once
    # With a read filter, only what passes it is visited again, and the others' numbers are used again.
    answered = "-2", "-R", "http.response"
    assert lua.only_fields(link.path, "http.response.code", "http.content_length", PDU + "cells", options=answered) == [
        [["200"], ["6000"], once[-1][2]]]


def test_a_malformed_packet_does_not_hide_the_pdus_after_it(lua: Dissector, link: Link) -> None:
    cut_short = ip(CLIENT, SERVICE, 6, b"\x9C\x40\x00\x50\x00")
    link.send(carrying(cut_short) + carrying(http_packet(4)))
    assert lua.only_fields(link.file(), "_ws.malformed", PDU + "status", "http.request.uri")[0][1:] == [
        ["good", "good"], ["/index.html"]]
    assert "Malformed Packet: TCP" in lua.tshark(link.path, "-V")


def test_a_last_cell_that_met_congestion_is_a_last_cell(lua: Dissector, link: Link) -> None:
    pdu = cpcs_pdu(http_packet(4))
    link.send(to_cells(pdu, CellHeader(1, 64, 2).pack(), CellHeader(1, 64, 3, 1).pack()))
    assert lua.only_fields(link.file(), PDU + "status", "http.request.uri") == [[["good"], ["/index.html"]]]


def test_where_a_pdu_begins_and_ends(lua: Dissector, link: Link) -> None:
    train = carrying(http_packet(4))
    first, second, third = split(train, 1, 1)
    link.send(carrying(http_packet(4)) + first, second, third + first)
    whole, middle, end = lua.only_fields(link.file(), CELL + "reassembled_in", PDU + "first_frame", options=("-2",))
    count = len(train) // 53
    assert whole == [["3"], []]
    assert middle == [["3"], []]
    assert end == [[], ["1"]]
    text = lua.tshark(link.path, "-2", "-V")
    assert f"Place in its PDU: 2 of {count}" in text
    assert "Place in its PDU: 1\n" not in text.split("\nFrame 3")[0]
    assert lua.lines(link.path, "-2")[1] == "1 cell, 1/64 [reassembled in 3]"


def test_a_summary_names_some_vcs_and_some_frames(lua: Dissector, link: Link) -> None:
    trains = [cells_of(train_of(b"\x42" * 60, 1, 64 + n)) for n in range(10)]
    link.send(b"".join(first for first, _ in trains[:3]) * 2, trains[1][1] + trains[0][1], trains[2][1])
    link.send(b"".join(cell(1, 64 + n) for n in range(10)), flipped(cell(1, 64), 1, 2) + oam(1, 0))
    lines = lua.lines(link.file(), "-2")
    assert lines[0] == "6 cells, 1/64, 1/65, 1/66 [reassembled in 2, 3]"
    assert lines[3] == "10 cells, 1/64, 1/65, 1/66, 1/67, 1/68, 1/69, 1/70, 1/71, ..."
    assert lines[4] == "2 cells, HEC wrong, OAM F5 end-to-end AIS 1/40"


@pytest.mark.parametrize("kind", ["bridge", "complemented"])
def test_the_crc_of_dynamips_is_told_apart_and_handed_on(kind: str, lua: Dissector, link: Link) -> None:
    pdu = cpcs_pdu(http_packet(4), crc=CrcMode.DYNAMIPS)
    if kind == "complemented":
        pdu = pdu[:-4] + (zlib.crc32(pdu[:-4]) ^ 0xFFFFFFFF).to_bytes(4, "big")
    link.send(*cells_of(pdu_train(pdu)))
    crc, status, expert, uri = lua.only_fields(
        link.file(), PDU + "crc.status", PDU + "status", "atmdepot.expert.crc_dynamips", "http.request.uri")[-1]
    assert (crc, status, uri, len(expert)) == (["dynamips"], ["good"], ["/index.html"], 1)


def test_published_crcs(lua: Dissector, link: Link) -> None:
    for sdu, crc in ((bytes(40), "864d7f99"), (b"\xFF" * 40, "c55e457a"), (bytes(range(1, 41)), "bf671ed0")):
        link.send(pdu_train(sdu + bytes.fromhex("00000028" + crc)))
    assert lua.only_fields(link.file(), PDU + "crc", PDU + "crc.status") == [
        [["0x864d7f99"], ["good"]], [["0xc55e457a"], ["good"]], [["0xbf671ed0"], ["good"]]]


def test_a_bad_crc_is_shown_and_goes_on_only_if_one_says_so(lua: Dissector, link: Link) -> None:
    train = carrying(http_packet(4))
    link.send(flipped(train, (53 * 2 + 20) * 8))
    names = PDU + "crc.status", PDU + "status", "atmdepot.expert.crc_bad", "http.request.uri"
    [[crc, status, expert, uri]] = lua.only_fields(link.file(), *names)
    assert (crc, status, len(expert), uri) == (["bad"], ["crc-error"], 1, [])
    assert lua.lines(link.path) == [f"AAL5 PDU, 1/64, {len(train) // 53} cells, crc-error"]
    [[crc, status, expert, uri]] = lua.only_fields(link.path, *names, options=("-o", "atmdepot.bad_crc:TRUE"))
    assert (crc, status, len(expert), uri) == (["bad"], ["crc-error"], 1, ["/index.html"])


def with_length(length: int, cells: int) -> bytes:
    body = bytes(cells * 48 - 6) + length.to_bytes(2, "big")
    return pdu_train(body + crc32(body).to_bytes(4, "big"))


def test_length_errors_aborts_and_the_trailer(lua: Dissector, link: Link) -> None:
    link.send(with_length(41, 1), with_length(88, 2), with_length(40, 2), with_length(65535, 3),
              pdu_train(abort_pdu()), pdu_train(cpcs_pdu(b"\x42" * 50, uu=7, cpi=9)))
    told = lua.only_fields(link.file(), *(PDU + name for name in ("status", "length", "pad", "uu", "cpi")),
                           "atmdepot.expert.length_error", "atmdepot.expert.aborted")
    assert [status for [status], *_ in told] == [
        "length-error", "good", "length-error", "length-error", "aborted", "good"]
    assert [length for _, [length], *_ in told] == ["41", "88", "40", "65535", "0", "50"]
    assert [pad for _, _, pad, *_ in told] == [[], ["0"], [], [], [], ["38"]]
    assert told[5][3:5] == [["0x07"], ["0x09"]]
    assert [len(expert) for *_, expert, _ in told] == [1, 0, 1, 1, 0, 0]
    assert [len(expert) for *_, expert in told] == [0, 0, 0, 0, 1, 0]


def test_a_lost_last_cell_is_proved_by_the_pdu_that_follows(lua: Dissector, link: Link) -> None:
    one, two = cells_of(carrying(http_packet(4))), cells_of(carrying(http_packet(6)))
    link.send(b"".join(one[:-1]), b"".join(two))
    link.send(b"".join([*one[:-1], flipped(two[0], 53 * 4), *two[1:]]), b"".join(two))
    told = lua.only_fields(link.file(), PDU + "status", "atmdepot.expert.lost_last_cell", "http.request.uri")
    assert [status for status, _, _ in told] == [[], ["crc-error"], ["crc-error"], ["good"]]
    assert [len(lost) for _, lost, _ in told] == [0, 1, 0, 0]
    assert [len(uri) for *_, uri in told] == [0, 0, 0, 1]


def test_a_pdu_has_no_more_than_1366_cells(lua: Dissector, link: Link) -> None:
    longest, end = pdu_train(cpcs_pdu(bytes(65535))), carrying(http_packet(4))
    link.send(*split(longest, 600, 600), *[cell(1, 64) * 600] * 2, cell(1, 64) * 166 + cell(1, 64, 1), end)
    told = lua.only_fields(link.file(), PDU + "status", PDU + "cells", "atmdepot.expert.oversize", "http.request.uri")
    assert [status for status, *_ in told] == [[], [], ["good"], [], [], ["oversize"], ["good"]]
    assert [cells for _, cells, *_ in told][5] == ["1367"]
    assert [len(expert) for *_, expert, _ in told] == [0, 0, 0, 0, 0, 1, 0]
    assert told[6][3] == ["/index.html"]


def test_cells_that_the_capture_cut_off(lua: Dissector, link: Link) -> None:
    train = carrying(http_packet(4))
    first, rest = split(train, 2)
    link.send(first).send(train, kept=53 * 2 + 20).send(rest, train, carrying(http_packet(6), vci=65),
                                                       carrying(http_packet(6), vci=65))
    names = PDU + "status", "atmdepot.expert.cut", "atmdepot.expert.incomplete", "http.request.uri", "atmdepot.cells"
    told = lua.only_fields(link.file(), *names)
    assert [status for status, *_ in told] == [[], [], ["incomplete"], ["good"], ["incomplete"], ["good"]]
    assert [len(cut) for _, cut, *_ in told] == [0, 1, 0, 0, 0, 0]
    assert [len(incomplete) for _, _, incomplete, *_ in told] == [0, 0, 1, 0, 1, 0]
    assert [uri for *_, uri, _ in told][3] == ["/index.html"]
    assert told[1][4] == ["2"]
    assert lua.only_fields(link.path, *names, options=("-2",)) == told


def test_a_quoted_datagram_and_cells_in_cells_belong_to_no_link(lua: Dissector, link: Link) -> None:
    train = carrying(http_packet(4))
    first, rest = split(train, 2)
    datagram = udp(NEAR, 5501, FAR, 5501, first)
    error = ip(FAR, NEAR, 1, b"\x03\x03\x00\x00" + bytes(4) + datagram)
    tunnel = carrying(udp(NEAR, 5501, FAR, 5501, train), vci=99)
    link.send(first).packet(error).send(tunnel, rest)
    told = lua.only_fields(link.file(), "http.request.uri", "atmdepot.cells", PDU + "vci")
    assert told == [[[], ["2"], []], [[], ["2"], []], [[], [str(len(tunnel) // 53)], ["99"]],
                    [["/index.html"], [str(len(rest) // 53)], ["64"]]]


# ── which datagrams ──


def test_ports_are_a_preference_and_decode_as_works(lua: Dissector, link: Link) -> None:
    link.send(carrying(http_packet(4)), port=7777)
    no_guess = "--disable-heuristic", "atmdepot_udp"
    cells = "atmdepot.cells"
    assert lua.only_fields(link.file(), cells, options=no_guess) == [[[]]]
    assert lua.only_fields(link.path, cells, options=(*no_guess, "-o", "atmdepot.ports:7000-8000"))[0][0]
    assert lua.only_fields(link.path, cells, options=(*no_guess, "-d", "udp.port==7777,atmdepot"))[0][0]
    link.datagrams.clear()
    link.send(carrying(http_packet(4)))
    assert lua.only_fields(link.file(), cells, options=(*no_guess, "-o", "atmdepot.ports:7000-8000")) == [[[]]]
    assert lua.only_fields(link.path, cells, options=(*no_guess, "-o", "atmdepot.ports:")) == [[[]]]


def test_the_ports_of_every_shipped_table_are_known(lua: Dissector, link: Link) -> None:
    """Pseudowires and Frame Relay are not for this dissector: Wireshark has its own."""
    links = [link for path in (ROOT / "vc_tables").glob("*.toml") for link in load(path).links.values()
             if link.bearer == "atm"]
    ports = {end.port for link in links if link.format == "cells" for end in link.ends.values()} - {0}
    for port in sorted(ports):
        link.send(cell(1, 64), port=port)
    told = lua.only_fields(link.file(), "atmdepot.cells", options=("--disable-heuristic", "atmdepot_udp"))
    assert ports
    assert told == [[["1"]]] * len(ports)


def test_cells_on_any_port_are_found_by_their_hecs(lua: Dissector, link: Link) -> None:
    train = carrying(http_packet(4))
    first, *rest = cells_of(train)
    middle = cell(1, 64, payload=b"\x80" * 48)
    link.send(middle, first, *rest, flipped(middle, 3), port=7777).send(train, port=8888)
    link.send(oam(1, 0), flipped(oam(1, 0), 53 * 8 - 1), port=9999).send(flipped(train, 4), train, port=6666)
    link.send(train, kept=60, port=6665)
    told = [cells for [cells] in lua.only_fields(link.file(), "atmdepot.cells")]
    count = len(train) // 53
    # A cell that might be anything is not taken, but once one was, all of its conversation is.
    assert told == [[], *[["1"]] * (count + 1), [str(count)], ["1"], ["1"], [], [str(count)], []]
    assert [cells for [cells] in lua.only_fields(link.path, "atmdepot.cells", options=("-2",))] == told


def test_a_datagram_of_odd_length_is_an_error_only_on_a_link(lua: Dissector, link: Link) -> None:
    link.send(b"x" * 77).send(cell(1, 64), b"x" * 77, cell(1, 64)[:-1], carrying(http_packet(4)))
    told = lua.only_fields(link.file(), "atmdepot.expert.datagram_length", "atmdepot.cells", "data.len")
    assert [len(expert) for expert, _, _ in told] == [0, 0, 1, 1, 0]
    assert told[0][2] == ["77"]
    assert lua.lines(link.path)[2] == "77 octets are no whole number of cells"
    assert lua.only_fields(link.path, "atmdepot.cells", options=("-2",)) == [[cells] for _, cells, _ in told]


def test_the_tag_of_a_link_with_a_key_stands_behind_the_cells(lua: Dissector, link: Link) -> None:
    cells = train_of(b"\x42" * 100, 1, 64)
    link.send(LinkTag(bytes(16), 0, 7).seal(cells), LinkTag(bytes(16), 0, 1 << 60).seal(cells))
    told = lua.only_fields(link.file(), "atmdepot.cells", PDU + "status", "atmdepot.tag.counter", "atmdepot.tag",
                           "atmdepot.expert.datagram_length")
    assert [frame[:3] for frame in told] == [[["3"], ["good"], ["7"]], [["3"], ["good"], [str(1 << 60)]]]
    assert [len(bytes.fromhex(frame[3][0])) for frame in told] == [16, 16]
    assert [frame[4] for frame in told] == [[], []]


# ── whatever comes ──

# Each example runs tshark; shrinking one would run it for minutes.
few_examples = examples(10, deadline=None, suppress_health_check=list(HealthCheck),
                        phases=[Phase.explicit, Phase.reuse, Phase.generate])

few_vcs = st.sampled_from([(1, 64), (1, 65), (2, 64)])


@st.composite
def pdus(draw: st.DrawFn) -> bytes:
    """A CPCS-PDU's cells: whole, with a wrong CRC of some kind, with a lying Length, or an abort."""
    vpi, vci = draw(few_vcs)
    sdu = draw(st.binary(min_size=1, max_size=200))
    pdu = draw(st.sampled_from([
        cpcs_pdu(sdu), cpcs_pdu(sdu), cpcs_pdu(sdu, crc=CrcMode.DYNAMIPS), flipped(cpcs_pdu(sdu), 5), abort_pdu(),
        with_length(draw(st.integers(0, 120)), 2)]))
    return pdu_train(pdu, vpi, vci) if len(pdu) % 53 else pdu


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[bool, bytes]]:
    """Datagrams in both directions: PDUs of several VCs interleaved, some cells lost, headers and payloads damaged."""
    sent: dict[bool, list[bytes]] = {False: [], True: []}
    for back, train in draw(st.lists(st.tuples(st.booleans(), pdus()), max_size=12)):
        at = draw(st.integers(0, len(sent[back])))
        sent[back][at:at] = cells_of(train)
    datagrams = []
    for back, cells in sent.items():
        kept = [c for c in cells if draw(st.integers(0, 15))]
        kept = [flipped(c, *draw(st.lists(st.integers(0, 60), max_size=3))) if not draw(st.integers(0, 7)) else c
                for c in kept]
        while kept:
            count = draw(st.integers(1, 6))
            datagrams.append((back, b"".join(kept[:count])))
            kept = kept[count:]
    return draw(st.permutations(datagrams)) if draw(st.booleans()) else datagrams


VERDICTS = DropReason.CRC_ERROR, DropReason.LENGTH_ERROR, DropReason.ABORTED


class Model:
    """Our own reassembly of one direction, a cell at a time: what it says of each PDU and each header."""

    def __init__(self) -> None:
        vcs = (Vc(vpi, vci, crc=CrcMode.DYNAMIPS) for vpi in range(256) for vci in (64, 65))
        self.reassembler = Reassembler(VcTable(*vcs))

    def receive(self, one: bytes) -> tuple[list[tuple[str, str]], str]:
        """The PDUs that a cell ended, as (verdict, length of the SDU), and the verdict on its header."""
        before, hec_before = self.reassembler.drops.copy(), self.reassembler.hec.corrected
        discarded = self.reassembler.hec.discarded
        sdus = self.reassembler.receive(one, 0)
        told = [("good", str(len(sdu.octets))) for sdu in sdus]
        told += [(str(reason), "") for reason in VERDICTS if self.reassembler.drops[reason] > before[reason]]
        if self.reassembler.hec.discarded > discarded:
            return told, "discarded"
        return told, "corrected" if self.reassembler.hec.corrected > hec_before else "correct"


@few_examples
@given(streams())
def test_the_dissector_and_our_reassembly_agree(
        lua: Dissector, tmp_path_factory: pytest.TempPathFactory, datagrams: list[tuple[bool, bytes]]) -> None:
    link = Link(tmp_path_factory.mktemp("random") / "link.pcap")
    models, pdus_told, headers_told = {False: Model(), True: Model()}, [], []
    for back, cells in datagrams:
        link.send(cells, back=back)
        received = [models[back].receive(one) for one in cells_of(cells)]
        pdus_told.append([pdu for told, _ in received for pdu in told])
        headers_told.append([verdict for _, verdict in received])

    seen = lua.only_fields(link.file(), PDU + "vci", PDU + "status", PDU + "length", CELL + "hec.status")
    known = [[(status, length if status == "good" else "") for vci, status, length in zip(*values[:3], strict=True)
              if vci in ("64", "65")] for values in seen]
    assert known == pdus_told
    words = {"wrong": "discarded", "not corrected": "discarded"}
    assert [[words.get(word, word) for word in values[3]] for values in seen] == headers_told
    assert lua.only_fields(link.path, PDU + "vci", PDU + "status", PDU + "length", CELL + "hec.status",
                           options=("-2",)) == seen


@st.composite
def garbage(draw: st.DrawFn) -> list[tuple[bytes, int]]:
    """Datagrams of any octets and of half a sense, whole or cut by the capture."""
    half_sense = st.builds(lambda octets, at, more: octets[:at] + more + octets[at:], pdus(), st.integers(0, 300),
                           st.sampled_from([b"", b"", bytes(53), b"\xFF"]))
    plausible = st.builds(lambda sdu, vci: train_of(sdu, 1, vci), st.builds(
        lambda head, rest: head + rest, st.sampled_from([
            bytes.fromhex("AAAA030000000800"), bytes.fromhex("AAAA030080C200070000"), b"\x45", b"\x60", b"\0\0",
            b"ADST\x01" + b"\xFF" * 63, b"\xFE\xFE\x03", bytes.fromhex("4500FFFF00000000400600000A0000010A000002")]),
        st.binary(max_size=60)), st.sampled_from([5, 16, 33, 64]))
    datagrams = draw(st.lists(st.one_of(st.binary(max_size=160), half_sense, plausible), max_size=12))
    return [(octets, draw(st.integers(0, len(octets))) if not draw(st.integers(0, 4)) else len(octets))
            for octets in datagrams]


@few_examples
@given(garbage(), st.sampled_from(["auto", "LLC", "VC-mux", "VC-mux bridged"]), st.booleans())
def test_garbage_makes_no_error_of_lua(
        lua: Dissector, tmp_path_factory: pytest.TempPathFactory, datagrams: list[tuple[bytes, int]],
        encapsulation: str, bad_crc: bool) -> None:
    link = Link(tmp_path_factory.mktemp("garbage") / "link.pcap")
    for octets, kept in datagrams:
        link.send(octets, kept=kept, port=5501 if kept % 2 else 7777)
    options = "-o", f"atmdepot.encapsulation:{encapsulation}", "-o", f"atmdepot.bad_crc:{bad_crc}"
    # The fixture looks for Lua's errors in all that is printed.
    assert lua.tshark(link.file(), *options, "-2", "-V", "-x").count("\nUser Datagram Protocol") >= len(datagrams)


# ── installation ──


def tshark_without_script(lua: Dissector, path: Path) -> list[str]:
    return lua.without_script(path, "-T", "fields", "-e", "http.request.uri").splitlines()


def test_an_installed_dissector_works_at_once_and_beside_the_option(
        lua: Dissector, link: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WIRESHARK_CONFIG_DIR", str(tmp_path / "config"))
    file = install()
    assert file == plugin_folder() / FILE_NAME
    assert tmp_path in file.parents
    fresh = Dissector(tmp_path)
    link.send(carrying(http_packet(4)))
    assert tshark_without_script(fresh, link.file()) == ["/index.html"]
    assert fresh.only_fields(link.path, "http.request.uri") == [[["/index.html"]]]
    assert tshark_without_script(lua, link.path) == [""]


def test_installing_again_replaces_only_an_older_file(tmp_path: Path) -> None:
    folder = tmp_path / "wireshark" / "plugins"
    file = install(folder)
    assert file == folder / FILE_NAME
    assert file.read_bytes() == LUA.read_bytes()
    os.utime(file, (1, 1))
    assert install(folder) == file
    assert file.stat().st_mtime == 1
    file.write_bytes(LUA.read_bytes().splitlines()[0] + b"\n-- an older one\n")
    install(folder)
    assert file.read_bytes() == LUA.read_bytes()
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


def test_a_file_that_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("-- mine\n")
    with pytest.raises(AtmdepotError, match="is not atmdepot's: move it") as caught:
        install(tmp_path)
    assert caught.value.exit_code == 1
    assert (tmp_path / FILE_NAME).read_text() == "-- mine\n"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentLacks, match="cannot be put there") as caught:
        install(tmp_path / "file" / "plugins")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("script", "expected"), [
    ("echo 'Personal Plugins:\t/no'; echo 'Personal Lua Plugins:\t/some/ folder '; echo 'Global Lua Plugins:\t/no'",
     "/some/ folder"),
    ("exit 1", None), ("echo Temp: /tmp", None), ("echo 'Personal Lua Plugins:'", None), (None, None),
])
def test_the_folder_is_the_one_that_wireshark_names(
        script: str | None, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if script:
        program = tmp_path / "wireshark"
        program.write_text(f"#!/bin/sh\n[ \"$*\" = '-G folders' ] || exit 2\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(plugin_folder()) == (expected or "/home/somebody/.local/lib/wireshark/plugins")


def test_the_page_names_every_field_and_preference(lua: Dissector) -> None:
    names = lua.names("fields", r"\t(atmdepot\.[a-z0-9_.]+)\t") | lua.names("currentprefs", r"\n#?(atmdepot\.[a-z_]+):")
    assert len(names) > 60
    page = (ROOT / "docs" / "wireshark.md").read_text()
    assert set(re.findall(r"`(atmdepot\.[a-z0-9_.]+)`", page)) - {FILE_NAME} == names
