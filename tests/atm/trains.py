"""Trains for tests of policing, shaping, queueing and switching: strategies, and a train as a list of its cells."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from atmdepot.wire.cell import CELL_SIZE, CellHeader, Interface, hec


class Seen(NamedTuple):
    """A cell: its header, and the number in its payload."""

    header: CellHeader
    number: int


def cell(header: CellHeader, number: int = 0, interface: Interface = Interface.UNI) -> bytes:
    return header.pack(interface) + number.to_bytes(48, "big")


def train(headers: list[CellHeader], first: int = 0, interface: Interface = Interface.UNI) -> bytes:
    """A cell for each header, numbered from `first`."""
    return b"".join(cell(header, number, interface) for number, header in enumerate(headers, first))


def seen(cells: bytes, interface: Interface = Interface.UNI) -> list[Seen]:
    """The cells of a train; each has a good HEC."""
    assert len(cells) % CELL_SIZE == 0
    out = []
    for at in range(0, len(cells), CELL_SIZE):
        octets = cells[at:at + CELL_SIZE]
        assert hec(octets[:4]) == octets[4]
        out.append(Seen(CellHeader.unpack(octets, interface), int.from_bytes(octets[5:], "big")))
    return out


def headers_on(vpi: int, vci: int, *, user_only: bool = False) -> st.SearchStrategy[list[CellHeader]]:
    """Headers of a VC's cells, in runs."""
    ptis = st.sampled_from([0, 0, 0, 1, 2, 3] if user_only else [0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7])
    runs = st.lists(st.tuples(ptis, st.integers(0, 1), st.integers(1, 6)), max_size=8)
    return runs.map(lambda found: [
        CellHeader(vpi, vci, pti, clp) for pti, clp, count in found for _ in range(count)])


def pdu(vpi: int, vci: int, cells: int, clp: int = 0) -> list[CellHeader]:
    """The headers of an AAL5 PDU of some cells."""
    return [CellHeader(vpi, vci, int(at == cells - 1), clp) for at in range(cells)]
