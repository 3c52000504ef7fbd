"""One run of a trace, from records to what is shown, written and counted, with fakes at its ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.net.events import Cells, Drop, Missed, SessionChange
from atmdepot.trace.filter.filter import parse_filter
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Cell, Pdu, Session
from atmdepot.trace.sessions import CaptureSessions
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen, Remark
from atmdepot.trace.tracer import LEVELS, Totals, Tracer, is_shown, kind_of
from atmdepot.wire.aal5 import CrcMode, cpcs_pdu
from atmdepot.wire.cell import CellHeader
from tests.ip_packets import SYN, tcp
from tests.trace.captures import cells_of, flipped
from tests.trace.items import items as any_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from atmdepot.trace.items import Item
    from atmdepot.trace.sources import SourceRecord

SYN_PACKET = tcp("10.9.0.2", 4000, "10.80.0.1", 80, SYN)
OTHER = tcp("10.9.0.2", 4000, "10.80.0.1", 443, SYN, data=bytes(60))
OAM = CellHeader(1, 64, 5).pack() + bytes(48)
IDLE = CellHeader(0, 0, clp=1).pack() + bytes(48)
DROP = Drop(0, "l", "unknown-vc", 1)
CHANGE = SessionChange(0, 1, "opened", "TCP", "10.9.0.2:4000", "10.80.0.1:80", "web1", "l", (1, 64), "ubr.1")


class FakeShower:
    """Notes what it is shown; `after` is called with the number of items so far."""

    def __init__(self, after: Callable[[int], None] = lambda _: None) -> None:
        self.shown: list[Item] = []
        self.flushes = 0
        self._after = after

    def show(self, item: Item) -> None:
        self.shown.append(item)
        self._after(len(self.shown))

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        raise AssertionError("that is not the tracer's to do")


class FakeWriter:
    """Notes what it is given; has a place for cells or PDUs, or not."""

    takes_packets = False

    def __init__(self, *, cells: bool = True, pdus: bool = True) -> None:
        self.written: list[tuple[object, ...]] = []
        self.flushes = 0
        self._places = cells, pdus

    def cells(self, time: int, node: str, link: str, direction: str, octets: bytes, hec: HecMark,
              comment: str) -> bool:
        self.written.append((time, node, link, direction, octets, hec))
        return self._places[0]

    def pdu(self, time: int, node: str, link: str, direction: str, header: bytes, octets: bytes, comment: str, *,
            trailer: bool, missing: int) -> bool:
        self.written.append((time, node, link, direction, header, octets, comment, trailer, missing))
        return self._places[1]

    def missed(self, node: str, cells: int) -> None:
        self.written.append((node, cells))

    def flush(self) -> None:
        self.flushes += 1


class Run:
    """A trace that has been run over some records."""

    def __init__(
        self, records: Iterable[SourceRecord | None], *, level: str = "all", keep: str = "", cells: bool = True,
        writer: FakeWriter | None = None, follower: Follower | None = None, after: Callable[[int], None] | None = None,
        **settings: object,
    ) -> None:
        self.remarks: list[str] = []
        self.shower = FakeShower(after or (lambda _: None))
        self.tracer = Tracer(
            records, follower or Follower(cells=cells), level=level, keep=parse_filter(keep) if keep else None,
            shower=self.shower, writer=writer, remark=self.remarks.append, **settings)  # type: ignore[arg-type]
        self.totals = self.tracer.run()

    @property
    def kinds(self) -> str:
        """The items that were shown: c for a cell, P for a PDU, d, s and m for the others."""
        letters = {"cell": "c", "PDU": "P", "drop": "d", "session change": "s", "gap": "m"}
        return "".join(letters[kind_of(item)] for item in self.shower.shown)


def cells(*sdus: bytes, time: int = 0, vci: int = 64, clp: int = 0, link: str = "l") -> Cells:
    return Cells(time, link, "in", b"".join(segment(sdu, Vc(1, vci), clp) for sdu in sdus))


def test_a_plain_run() -> None:
    run = Run([cells(SYN_PACKET), DROP, CHANGE, Missed(0, 5), cells(OTHER)], cells=False, level="pdu")
    assert run.kinds == "PdmP"
    assert run.totals == Totals(
        cells=4, seen={"PDU": 2, "drop": 1, "session change": 1, "gap": 1},  # type: ignore[arg-type]
        shown={"PDU": 2, "drop": 1, "gap": 1})  # type: ignore[arg-type]
    assert run.tracer.totals is run.totals


@pytest.mark.parametrize(("level", "kinds"), [("cell", "cccccdm"), ("pdu", "cPPdm"), ("session", "dsm"),
                                              ("all", "cccPccPdsm")])
def test_levels(level: str, kinds: str) -> None:
    """Drops and what was missed are at every level; cells of no PDU are at that of PDUs, but not idle ones."""
    run = Run([Cells(0, "l", "in", OAM + IDLE), cells(SYN_PACKET, OTHER[:60]), DROP, CHANGE, Missed(0, 5)], level=level)
    assert run.kinds == kinds
    assert run.totals.seen == {"cell": 5, "PDU": 2, "drop": 1, "session change": 1, "gap": 1}


@given(any_items, st.sampled_from(LEVELS))
def test_every_item_has_a_kind_and_is_shown_at_the_level_of_all(item: Item, level: str) -> None:
    assert kind_of(item) in ("cell", "PDU", "drop", "session change", "gap")
    assert is_shown(item, "all")
    assert is_shown(item, level) or isinstance(item, Cell | Pdu | SessionChange)


def test_remarks_go_to_the_user_and_silence_flushes() -> None:
    writer = FakeWriter()
    run = Run([Remark("cut short"), None, cells(SYN_PACKET), None], writer=writer)
    assert run.remarks == ["cut short"]
    assert (run.shower.flushes, writer.flushes) == (3, 3)


def test_a_trace_runs_without_output() -> None:
    run = Tracer([cells(SYN_PACKET)], Follower(), level="pdu", keep=None, shower=None, writer=None, remark=print)
    assert run.run().shown == {"PDU": 1}


# Where it ends.


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_it_ends_after_so_many_items_that_are_shown(count: int) -> None:
    def source() -> Iterator[SourceRecord]:
        yield cells(SYN_PACKET, SYN_PACKET)
        yield cells(OTHER)
        yield cells(SYN_PACKET, SYN_PACKET)
        raise AssertionError("it should have ended")

    run = Run(source(), keep="port 80", level="pdu", count=count)
    assert run.kinds == "P" * count
    assert run.totals.shown.total() == count
    assert run.totals.seen["PDU"] == count + (count > 2), "what comes after the last is not looked at"


def test_a_count_may_end_it_in_the_middle_of_a_pdus_cells() -> None:
    run = Run([cells(OTHER, OTHER)], keep="port 443", level="cell", count=2)
    assert run.kinds == "cc"
    assert run.totals.seen == {"cell": 2}


@pytest.mark.parametrize("begin", [0, 10**18])
def test_it_ends_when_the_records_time_is_over(begin: int) -> None:
    hour = 3600 * 10**9
    records = [cells(SYN_PACKET, time=begin + at) for at in (0, hour // 2, -50, hour, hour + 1, hour + 2, 500)]
    assert Run(records, level="pdu", duration=hour).kinds == "PPPP"
    assert Run(records, level="pdu").kinds == "PPPPPPP"


def test_when_the_time_is_over_the_source_is_ended_and_its_rest_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing comes; None says that, and the records' time stands still."""
    clock = iter(range(0, 10_000, 400))
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(clock))
    ended: list[int] = []

    def source() -> Iterator[SourceRecord | None]:
        for number in range(1, 6):
            yield cells(SYN_PACKET) if number % 2 else None
            if ended:
                yield cells(OTHER)
                return

    run = Run(source(), level="pdu", duration=1000, end=lambda: ended.append(1))
    assert run.kinds == "PPP"
    assert ended == [1]


def test_the_clock_has_no_say_in_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 400))
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(clock))
    assert Run([cells(SYN_PACKET)] * 6, level="pdu", duration=1000).kinds == "PPPPPP"


def test_stopped_in_the_middle_it_shows_no_more() -> None:
    def source() -> Iterator[SourceRecord]:
        yield cells(SYN_PACKET, SYN_PACKET, OTHER[:60])
        raise AssertionError("it should have ended")

    stop: list[Callable[[], None]] = []

    class Stopping(FakeShower):
        def show(self, item: Item) -> None:
            super().show(item)
            if len(self.shown) == 2:
                stop[0]()

    shower = Stopping()
    run_of = Tracer(source(), Follower(), level="pdu", keep=None, shower=shower, writer=None, remark=print)
    stop.append(run_of.stop)
    totals = run_of.run()
    assert (len(shower.shown), totals.seen["PDU"], shower.flushes) == (2, 2, 1)


def test_pdus_that_are_unfinished_at_the_end_are_shown_and_counted() -> None:
    records = [cells(SYN_PACKET), Cells(0, "l", "in", cells_of(segment(OTHER, Vc(1, 70)))[0])]
    run = Run(records, level="pdu")
    assert run.kinds == "PP"
    assert (run.totals.unfinished, run.totals.shown["PDU"]) == (1, 2)
    assert Run(records, level="pdu", count=1).totals.unfinished == 0


# Filters.


def test_a_filter_of_headers_takes_cells_as_they_come() -> None:
    run = Run([cells(SYN_PACKET, clp=1), cells(OTHER), Missed(0, 1)], keep="clp 1", level="all")
    assert run.kinds == "cPm"
    assert run.totals.seen == {"cell": 4, "PDU": 2, "gap": 1}


def test_a_filter_of_packets_holds_cells_until_their_pdu_is_whole() -> None:
    first, *rest = cells_of(segment(OTHER, Vc(1, 70)))
    records = [Cells(0, "l", "in", first), cells(SYN_PACKET), Cells(0, "l", "in", OAM),
               *(Cells(0, "l", "in", cell) for cell in rest), cells(OTHER[:60])]
    assert Run(records, keep="port 443", level="all").kinds == "cccP"
    assert Run(records, keep="port 80", level="all").kinds == "cP"
    run = Run(records, keep="not port 80", level="all")
    assert run.kinds == "ccccPccP"
    assert run.totals.seen == {"cell": 7, "PDU": 3}
    assert [cell.octets for cell in run.shower.shown if isinstance(cell, Cell)][:4] == [OAM, first, *rest]


def test_cells_whose_pdu_never_ends_are_not_held_back_for_ever() -> None:
    run = Run([Cells(0, "l", "in", cells_of(segment(OTHER, Vc(1, 70)))[0])], keep="unfinished", level="all")
    assert run.kinds == "cP"


# What is written.


def test_the_file_does_not_depend_on_the_level_shown() -> None:
    writer = FakeWriter()
    run = Run([cells(SYN_PACKET, time=7), DROP, Missed(7, 5, node="depot")], level="session", writer=writer)
    octets = cpcs_pdu(SYN_PACKET)
    header = CellHeader(1, 64, 1).pack()
    assert writer.written == [
        (7, "", "l", "in", header + octets, HecMark.RECORDED),
        (7, "", "l", "in", header[:4], octets, "", True, 0), ("depot", 5)]
    assert run.kinds == "dm"
    assert run.totals.not_written == {"drop": 1}


def test_only_items_that_pass_the_filter_are_written() -> None:
    writer = FakeWriter()
    Run([cells(SYN_PACKET, OTHER)], keep="port 443", writer=writer, level="session")
    assert [len(written[4] if len(written) == 6 else written[5]) for written in writer.written] == [  # type: ignore[arg-type]
        53, 53, 53, 144]


def test_items_without_a_place_in_the_format_are_counted() -> None:
    writer = FakeWriter(cells=False, pdus=False)
    run = Run([cells(SYN_PACKET, OTHER), CHANGE], writer=writer)
    assert run.totals.not_written == {"cell": 4, "PDU": 2, "session change": 1}
    only_pdus = Run([cells(SYN_PACKET, OTHER), CHANGE], writer=FakeWriter(cells=False))
    assert only_pdus.totals.not_written == {"cell": 4, "session change": 1}


def test_unfinished_pdus_are_there_as_cells() -> None:
    writer = FakeWriter()
    run = Run([Cells(0, "l", "in", cells_of(segment(OTHER, Vc(1, 70)))[0])], writer=writer)
    assert (len(writer.written), run.totals.not_written, run.totals.unfinished) == (1, {}, 1)


def test_a_crc_by_dynamips_rule_is_written_as_the_standards() -> None:
    """Wireshark knows no other; the cells are left as they were."""
    writer = FakeWriter()
    train = segment(SYN_PACKET, Vc(1, 64, crc=CrcMode.DYNAMIPS))
    run = Run([Cells(0, "l", "in", train)], writer=writer)
    (cell, pdu) = writer.written
    assert (cell[4], pdu[5]) == (train, cpcs_pdu(SYN_PACKET))
    shown = run.shower.shown[1]
    assert isinstance(shown, Pdu)
    assert shown.octets == train[5:], "what is shown is what came"


def test_a_wrong_crc_is_written_as_it_came() -> None:
    writer = FakeWriter()
    train = flipped(segment(SYN_PACKET, Vc(1, 64)), 423)
    Run([Cells(0, "l", "in", train)], writer=writer)
    assert writer.written[1][5:7] == (train[5:], "crc-error")


@pytest.mark.parametrize(("hec", "train", "mark"), [
    (HecMark.RECORDED, segment(SYN_PACKET, Vc(1, 64)), HecMark.RECORDED),
    (HecMark.RECORDED, flipped(segment(SYN_PACKET, Vc(1, 64)), 3), HecMark.RECORDED),
    (HecMark.RECORDED, flipped(segment(SYN_PACKET, Vc(1, 64)), 3, 9), HecMark.BAD),
    (HecMark.ABSENT, segment(SYN_PACKET, Vc(1, 64)), HecMark.ABSENT),
    (HecMark.BAD, segment(SYN_PACKET, Vc(1, 64)), HecMark.BAD)])
def test_a_cells_hec_verdict_is_written(hec: HecMark, train: bytes, mark: HecMark) -> None:
    writer = FakeWriter()
    Run([CapturedCells(0, "l", "in", train, hec=hec)], writer=writer)
    as_received = train if mark is HecMark.BAD else segment(SYN_PACKET, Vc(1, 64))
    assert writer.written[0] == (0, "", "l", "in", as_received, mark)


@pytest.mark.parametrize(("trailer", "missing"), [(False, 0), (True, 8), (False, 5)])
def test_pdus_cut_or_without_trailer_keep_their_marks(trailer: bool, missing: int) -> None:
    writer = FakeWriter()
    whole = cpcs_pdu(SYN_PACKET) if trailer else SYN_PACKET
    octets = whole[:len(whole) - missing]
    Run([PduSeen(0, "l", "in", CellHeader(1, 64).pack()[:4], octets, trailer, missing)], writer=writer)
    assert writer.written == [(0, "", "l", "in", CellHeader(1, 64).pack()[:4], octets, "", trailer, missing)]


def test_the_comment_of_a_pdu_is_its_session() -> None:
    writer = FakeWriter()
    run = Run([cells(SYN_PACKET)], writer=writer, follower=Follower(sessions=CaptureSessions()))
    assert run.kinds == "sP"
    assert writer.written[0][6] == "session 1"
    pdu = run.shower.shown[1]
    assert isinstance(pdu, Pdu)
    assert pdu.session == Session(1, "")


@given(st.lists(any_items | st.builds(Remark, st.text()) | st.none()), st.sampled_from(LEVELS), st.booleans(),
       st.integers(0, 5))
def test_totals_count_all_items(items: list[Item | Remark | None], level: str, holds: bool, count: int) -> None:
    """Of what a follower gives, as much is shown as was counted as shown, never more than asked for."""
    class Giving(Follower):
        def take(self, record: SourceRecord) -> list[Item]:
            return [record]  # type: ignore[list-item]

    writer = FakeWriter()
    run = Run(items, level=level, keep="not port 1" if holds else "",  # type: ignore[arg-type]
              writer=writer, follower=Giving(), count=count)
    assert run.totals.shown.total() == len(run.shower.shown) <= (count or len(items) * 9)
    assert all(run.totals.shown[kind] <= run.totals.seen[kind] for kind in run.totals.seen)
    if not count and not holds:
        assert run.totals.seen.total() == sum(not isinstance(item, Remark | None) for item in items)
        assert run.totals.seen.total() == len(writer.written) + run.totals.not_written.total() + run.totals.unfinished
