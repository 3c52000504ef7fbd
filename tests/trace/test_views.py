"""Cells of a link that several nodes saw are written once, as the sender saw them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from atmdepot.net.events import Cells
from atmdepot.trace.capture.files import open_capture
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.follow import Follower
from atmdepot.trace.show.summary import summary
from atmdepot.trace.sources import PduSeen
from atmdepot.trace.tracer import Tracer
from atmdepot.trace.views import Views
from tests.commands.test_cli import run
from tests.trace.captures import http_packet, train_of

if TYPE_CHECKING:
    from pathlib import Path

TRAIN = train_of(http_packet(4))
CELLS = len(TRAIN) // 53
THERE = [Cells(1, "to-web1", "out", TRAIN, "depot"), Cells(2, "to-web1", "in", TRAIN, "web1")]
BACK = [Cells(3, "to-web1", "out", TRAIN, "web1"), Cells(4, "to-web1", "in", TRAIN, "depot")]
EXTERNAL = [Cells(5, "to-r2", "out", TRAIN, "depot"), Cells(6, "to-r2", "in", TRAIN, "depot")]
LINKS = [("depot", "to-web1"), ("web1", "to-web1"), ("depot", "to-r2")]


def written(records: list[Cells], views: Views | None) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Node, link and direction of each PDU in the capture; the lines of the summary."""
    file = io.BytesIO()
    with open_writer(file, "pcapng") as writer:
        totals = Tracer(records, Follower(cells=True), level="pdu", keep=None, shower=None, writer=writer,
                        remark=lambda _: None, views=views).run()
        assert writer.cell_count == writer.pdu_count * CELLS
        lines = summary(totals, "pdu", [], writer.summary(), shown=False)
    with open_capture(io.BytesIO(file.getvalue())) as source:
        found = [(one.node, one.link, one.direction) for one in source if isinstance(one, PduSeen)]
    return found, lines


ONCE = [("depot", "to-web1", "out"), ("web1", "to-web1", "out"), ("depot", "to-r2", "out"), ("depot", "to-r2", "in")]


def test_each_pdu_is_written_once_as_its_sender_saw_it() -> None:
    found, lines = written(THERE + BACK + EXTERNAL, Views(LINKS))
    assert found == ONCE
    assert f"{2 * CELLS} cells, 2 PDUs not written again" in " ".join(lines)
    assert not any("not in it" in line for line in lines)


def test_of_a_capture_the_nodes_are_known_as_they_come() -> None:
    assert written(THERE + BACK + EXTERNAL, Views())[0] == ONCE


def test_all_views_when_asked() -> None:
    found, lines = written(THERE + BACK + EXTERNAL, None)
    assert found == [(one.node, one.link, one.direction) for one in THERE + BACK + EXTERNAL]
    assert not any("not written again" in line for line in lines)


def test_a_packet_over_a_switch_is_taken_once_where_only_packets_are() -> None:
    hops = [Cells(1, "trunk", "out", TRAIN, "depot"), Cells(2, "trunk", "in", TRAIN, "sw1"),
            Cells(3, "to-web1", "out", TRAIN, "sw1"), Cells(4, "to-web1", "in", TRAIN, "web1")]
    links = [("depot", "trunk"), ("sw1", "trunk"), ("sw1", "to-web1"), ("web1", "to-web1")]
    assert written(hops, Views(links, passing=["sw1"]))[0] == [("depot", "trunk", "out")]
    assert len(written(hops, Views(links))[0]) == 2


@pytest.mark.parametrize("node", ["depot", "web1"])
def test_one_nodes_trace_has_both_directions(node: str) -> None:
    records = [one for one in THERE + BACK if one.node == node]
    found, _ = written(records, Views([(node, "to-web1")]))
    assert found == [(one.node, one.link, one.direction) for one in records]


def test_a_lost_pdu_is_written_as_sent() -> None:
    assert written(THERE[:1] + BACK[:1], Views(LINKS))[0] == ONCE[:2]


def test_the_command_writes_once_unless_asked(tmp_path: Path) -> None:
    source, copy = tmp_path / "both.pcapng", tmp_path / "copy.pcapng"
    with open_writer(source, "pcapng") as writer:
        Tracer(THERE + BACK, Follower(cells=True), level="pdu", keep=None, shower=None, writer=writer,
               remark=lambda _: None).run()
    for options, pdus in (((), 2), (("--each-node",), 4)):
        done = run("trace", "-r", source, "-w", copy, *options)
        assert done.returncode == 0, done.stderr
        assert f"{pdus * CELLS} cells and {pdus} PDUs written" in done.stderr
        assert len(run("trace", "-r", copy, "-q").stdout.splitlines()) == pdus
