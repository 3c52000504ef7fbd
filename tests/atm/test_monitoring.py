"""Performance monitoring: what is lost, misinserted and errored between source and sink is what both ends count."""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.monitoring import MonitoringReport, MonitoringSink, MonitoringSource, Performance
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from atmdepot.wire.oam import OamFlow
from atmdepot.wire.oam_messages import Backward, Forward, read
from tests.atm.trains import headers_on, train
from tests.effort import examples

HEADER = OamFlow.F5_END_TO_END.header(1, 40)
USER = CellHeader(1, 40)


def cut(octets: bytes) -> list[bytes]:
    return [octets[at:at + CELL_SIZE] for at in range(0, len(octets), CELL_SIZE)]


def forward_of(cell: bytes) -> Forward | None:
    message = read(cell[5:]) if cell[:5] == HEADER else None
    return message if isinstance(message, Forward) else None


class Ends(NamedTuple):
    source: MonitoringSource
    sink: MonitoringSink
    report: MonitoringReport

    @classmethod
    def of(cls, block: int = 128) -> Ends:
        return cls(MonitoringSource(HEADER, block), MonitoringSink(), MonitoringReport())

    def send(self, cells: bytes) -> list[bytes]:
        return cut(self.source.insert(cells))

    def arrive(self, cells: list[bytes]) -> list[Backward]:
        answers = []
        for cell in cells:
            forward = forward_of(cell)
            if forward is None:
                self.sink.user_cells(cell)
            else:
                answers.append(self.sink.forward(forward))
                self.report.backward(answers[-1])
        return answers


@given(st.lists(headers_on(1, 40).map(lambda headers: headers * 20), max_size=6), st.sampled_from([128, 256]))
@examples(100)
def test_forward_cells_stand_behind_each_block(trains: list[list[CellHeader]], block: int) -> None:
    """With the counts and the parity of all that stands before."""
    source, number, sent = MonitoringSource(HEADER, block), 0, b""
    for headers in trains:
        sent += source.insert(train(headers, number))
        number += len(headers)
    users: list[bytes] = []
    block_users: list[bytes] = []
    sequence = 0
    others = []
    for cell in cut(sent):
        header = CellHeader.unpack(cell)
        if header.pti & 4 and cell[:5] == HEADER and len(block_users) == block:
            words = [int.from_bytes(one[at:at + 2], "big") for one in block_users for at in range(5, CELL_SIZE, 2)]
            clp0 = sum(not one[3] & 1 for one in users)
            assert forward_of(cell) == Forward(sequence % 256, len(users), reduce(xor, words, 0), clp0)
            sequence += 1
            block_users = []
            continue
        others.append(cell)
        if not header.pti & 4:
            users.append(cell)
            block_users.append(cell)
            assert len(block_users) <= block
    assert b"".join(others) == b"".join(
        train(headers, sum(map(len, trains[:at]))) for at, headers in enumerate(trains))


def events(*kinds: str) -> st.SearchStrategy[list[tuple[int, str]]]:
    return st.lists(st.tuples(st.integers(0, 1600), st.sampled_from(kinds)), max_size=12)


@given(st.one_of(events("lose", "misinsert", "flip"), events("flip")))
@examples(100)
def test_both_ends_count_what_happened(happened: list[tuple[int, str]]) -> None:
    ends = Ends.of()
    cells = ends.send(train([USER] * 128))  # the first block begins the count
    body = ends.send(b"".join(train([USER], number) for number in range(128 * 12)))
    net = 0
    odd: dict[int, bool] = {}  # blocks with an odd number of flips, all of the same bit
    for at, what in sorted(happened, reverse=True):
        if at >= len(body) or forward_of(body[at]) is not None:
            continue
        if what == "lose":
            del body[at]
            net -= 1
        elif what == "misinsert":
            body.insert(at, train([USER], 7))
            net += 1
        else:
            body[at] = body[at][:20] + bytes((body[at][20] ^ 1,)) + body[at][21:]
            odd[at // 129] = not odd.get(at // 129, False)
    ends.arrive(cells)
    ends.arrive(body)
    found = ends.sink.performance
    assert (found.sent, found.blocks) == (128 * 12, 12)
    assert found.misinserted - found.lost == net
    if {what for _, what in happened} <= {"flip"}:
        assert (found.lost, found.misinserted, found.errors) == (0, 0, sum(odd.values()))
    assert ends.report.performance == found


def test_lost_cells_of_a_block() -> None:
    ends = Ends.of()
    ends.arrive(ends.send(train([USER] * 128)))
    second = ends.send(train([USER] * 128))
    (answer,) = ends.arrive(second[5:])
    assert answer == Backward(1, 256, 256, 1, 1, 251, 0, 251)
    assert ends.sink.performance == Performance(128, 5, 0, 0, 1, 1)


def test_a_lost_forward_cell_joins_two_blocks() -> None:
    ends = Ends.of()
    ends.arrive(ends.send(train([USER] * 128)))
    cells = ends.send(train([USER] * 256))
    damaged = [*cells[:3], cells[3][:9] + b"\xff" + cells[3][10:], *cells[4:128], *cells[129:]]
    ends.arrive(damaged)
    assert ends.sink.performance == Performance(256, 0, 0, 0, 0, 1)


def test_counts_go_round() -> None:
    ends = Ends.of(32768)
    for _ in range(5):
        ends.arrive(ends.send(train([USER]) * 32768))
    assert ends.sink.performance == ends.report.performance == Performance(4 * 32768, 0, 0, 0, 0, 4)


def test_errored_bits() -> None:
    ends = Ends.of()
    ends.arrive(ends.send(train([USER] * 128)))
    cells = ends.send(train([USER] * 128))
    cells[9] = cells[9][:5] + b"\x0f\x01" + cells[9][7:]
    (answer,) = ends.arrive(cells)
    assert (answer.errors, answer.bad_blocks) == (5, 1)
    assert ends.sink.performance == Performance(128, 0, 0, 5, 1, 1)


def test_cells_without_a_full_block_are_not_copied() -> None:
    cells = train([USER] * 127)
    assert MonitoringSource(HEADER).insert(cells) is cells


@pytest.mark.parametrize("block", [0, -1, 127, 65536])
def test_other_block_sizes(block: int) -> None:
    with pytest.raises(ValueError, match="is no block size: choose 128, 256"):
        MonitoringSource(HEADER, block)
