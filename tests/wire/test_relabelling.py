"""Stretches of a connection's cells, and new headers for them: the compiled twins against the plain ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire import octets
from atmdepot.wire.cell import CELL_SIZE, CellHeader, Interface
from atmdepot.wire.octets import ALL, OF_VC, OF_VP, good_word_at_plainly, relabelled_plainly, stretch_end_plainly
from tests.atm.trains import seen, train
from tests.effort import examples

pytestmark = pytest.mark.both_twins

headers = st.builds(CellHeader, st.sampled_from([0, 1, 2]), st.sampled_from([0, 3, 4, 40]),
                    st.integers(0, 7), st.integers(0, 1), st.sampled_from([0, 0, 5]))
MASKS = {"VP": 0x0FF00000, "VC": 0x0FFFFFF0}


@st.composite
def trains(draw: st.DrawFn) -> bytes:
    """Cells in runs; some have a bit error in their header."""
    runs = draw(st.lists(st.tuples(headers, st.integers(1, 4)), max_size=5))
    cells = bytearray(train([header for header, count in runs for _ in range(count)]))
    for bit in draw(st.lists(st.integers(0, 39), max_size=2)) if cells else []:
        at = draw(st.integers(0, len(cells) // CELL_SIZE - 1))
        cells[at * CELL_SIZE + bit // 8] ^= 0x80 >> bit % 8
    return bytes(cells)


@given(trains(), st.integers(0, 22), headers, st.sampled_from(list(MASKS)), st.sampled_from([ALL, OF_VC, OF_VP]))
@examples(300)
def test_both_find_the_same_stretches(cells: bytes, at: int, of: CellHeader, kind: str, level: int) -> None:
    mask = MASKS[kind]
    value = (of.vpi << 20 | of.vci << 4) & mask
    end = octets.stretch_end(cells, at, mask, value, level)
    assert end == stretch_end_plainly(cells, at, mask, value, level)
    assert octets.good_word_at(cells, at) == good_word_at_plainly(cells, at)
    for cell in seen(cells[at * CELL_SIZE:end * CELL_SIZE]):
        header = cell.header
        assert (header.vpi, header.vci) == (of.vpi, of.vci if kind == "VC" else header.vci)
        assert not header.is_idle
        assert level == ALL or not (header.is_oam and (level == OF_VP) is (header.pti < 4))


@given(trains(), st.data())
@examples(200)
def test_both_relabel_the_same(cells: bytes, data: st.DataObject) -> None:
    count = len(cells) // CELL_SIZE
    first = data.draw(st.integers(0, count))
    end = data.draw(st.integers(first, count))
    vpi, vci = data.draw(st.integers(0, 4095)), data.draw(st.none() | st.integers(0, 65535))
    kept, label = (0xFFFFF, vpi << 20) if vci is None else (0xF, vpi << 20 | vci << 4)
    out = octets.relabelled(cells, first, end, kept, label)
    assert out == relabelled_plainly(cells, first, end, kept, label)
    was = [CellHeader.unpack(cells[at * CELL_SIZE:], Interface.NNI) for at in range(first, end)]
    assert [cell.header for cell in seen(out, Interface.NNI)] == [
        CellHeader(vpi, header.vci if vci is None else vci, header.pti, header.clp) for header in was]


@pytest.mark.parametrize(("first", "end"), [(-1, 1), (0, 3), (2, 1), (0, 1 << 60)])
def test_cells_that_are_not_there(first: int, end: int) -> None:
    for relabelled in (octets.relabelled, relabelled_plainly):
        with pytest.raises(IndexError):
            relabelled(bytes(2 * CELL_SIZE), first, end, 0xF, 0)
    for stretch_end in (octets.stretch_end, stretch_end_plainly):
        assert stretch_end(bytes(2 * CELL_SIZE), 1 << 60, 0xF, 0, ALL) == 1 << 60
        with pytest.raises(IndexError):
            stretch_end(bytes(2 * CELL_SIZE), -1, 0xF, 0, ALL)
