"""Cross-connects of a switch: connections by where they come in, their leaves, and what is taken on each port."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from atmdepot.atm.policer import Policer
from atmdepot.atm.queueing import QueuedVc
from atmdepot.atm.scheduler import SHARING, QueueClass
from atmdepot.wire.cell import CellHeader, Interface
from atmdepot.wire.oam import OamFlow
from atmdepot.wire.octets import ALL, OF_VC, OF_VP, relabelled, stretch_end

if TYPE_CHECKING:
    from atmdepot.config.contract import Contract
    from atmdepot.drops import Drops

_LOW = 0x000FFFFF  # VCI, PTI and CLP of a header's first 32 bits
_MARKS = 0xF  # PTI and CLP
_VCI = 0x000FFFF0
_ALL, _OF_VC, _OF_VP = ALL, OF_VC, OF_VP
_KEPT_VCIS = frozenset((0, 1, 2, 3, 4, 6))
"""VCIs that mean the same in every VP and are no VC's to switch: empty cells, meta-signalling, F4, RM (I.361)."""


class OamPoint(Protocol):
    """A place on a connection that handles its OAM cells: an end point, or an intermediate node."""

    def pass_on(self, cells: bytes, now: int) -> bytes:
        """Handle OAM cells of the connection's own level: F4 of a VP, F5 of a VC; return those that travel on."""

    def user_cells(self, count: int, now: int) -> None:
        """Hear of cells that passed, which are a sign of continuity."""


class Leaf:
    """A place where a connection's cells go: a port, and the VPI and VCI there (VCI None for a VP, which keeps it)."""

    __slots__ = ("_kept", "_label", "port", "queue", "queued", "vci", "vpi")

    def __init__(self, port: str, vpi: int, vci: int | None = None) -> None:
        self.port = port
        self.vpi = vpi
        self.vci = vci
        self.queue = QueueClass.UBR
        self.queued = QueuedVc()
        self._kept = _LOW if vci is None else _MARKS
        self._label = 0

    def begin(self) -> None:
        """Make the label of its cells; the numbers were found to fit."""
        self._label = self.vpi << 20 | (self.vci or 0) << 4

    def relabelled(self, cells: bytes, first: int, end: int) -> bytes:
        """Cells `first` to `end` (not included) as they leave here."""
        return relabelled(cells, first, end, self._kept, self._label)

    def __repr__(self) -> str:
        return f"Leaf({self.port} {self.vpi}{'' if self.vci is None else f'/{self.vci}'})"


class CrossConnect:
    """A connection through the switch: a VP (`vci` None) or VC as it comes in, its leaves, and its policer.

    `point` takes its OAM cells; without it they pass like others. It hears of user cells while `tells_point` is True.
    `rx_cells` counts what came in.
    """

    __slots__ = (
        "_mask", "_value", "contract", "interface", "leaves", "point", "policer", "queue", "rx_cells",
        "tells_point", "vci", "vpi")

    def __init__(self, interface: Interface, vpi: int, vci: int | None, contract: Contract | None = None) -> None:
        """Make a connection without leaves; raise ValueError for a contract that has no queue (ABR)."""
        self.interface = interface
        self.vpi = vpi
        self.vci = vci
        self.contract = contract
        self.queue = QueueClass.UBR if contract is None else QueueClass.of(contract.category)
        self.policer: Policer | None = None
        self.point: OamPoint | None = None
        self.tells_point = True
        self.leaves: list[Leaf] = []
        self.rx_cells = 0
        self._mask = self._value = 0

    def begin(self) -> None:
        """Make the mark of its cells; the numbers were found to fit."""
        vpi_mask = 0x0FF00000 if self.interface is Interface.UNI else 0xFFF00000
        self._mask = vpi_mask if self.vci is None else vpi_mask | _VCI
        self._value = self.vpi << 20 | (self.vci or 0) << 4

    def stretch(self, cells: bytes, at: int) -> int:
        """The end of the stretch of its cells that begins with cell `at`, which is there; `at` when that is another's.

        A cell with a wrong HEC ends it, as does a cell that is for its `point`.
        """
        level = _ALL if self.point is None else _OF_VP if self.vci is None else _OF_VC
        return stretch_end(cells, at, self._mask, self._value, level)

    def police(self, drops: Drops, more_cdvt: int = 0) -> None:
        """Hold the connection to its contract, if it has one; raise ValueError as `Policer` does.

        A VP of GFR is refused as well: its frames cannot be told apart.
        """
        if self.contract is not None:
            if self.vci is None and self.queue is QueueClass.GFR:
                raise ValueError(f"VP {self.vpi}: GFR is judged by frames, which a VP mixes; give it to the VCs")
            self.policer = Policer(self.contract, vc=CellHeader(self.vpi, self.vci or 0), drops=drops,
                                   more_cdvt=more_cdvt)

    def queued(self, leaf: Leaf) -> QueuedVc:
        """A leaf of this connection as its output queue knows it; a VP's cells are of many VCs, so of no frames."""
        by_frames = self.vci is not None and self.queue in SHARING
        return QueuedVc(CellHeader(leaf.vpi, leaf.vci or 0), by_frames=by_frames)

    def flow(self, header: bytes) -> OamFlow | None:
        """The OAM flow of a cell at this connection's level: F4 for a VP, F5 for a VC; None for all other cells."""
        flow = OamFlow.of(CellHeader.unpack(header, self.interface))
        return flow if flow is not None and flow.is_of_vp is (self.vci is None) else None


class _Numbered(Protocol):
    """A type with a VPI and a VCI, which is None for a VP."""

    vpi: int
    vci: int | None


_N = TypeVar("_N", bound=_Numbered)


class _Taken(Generic[_N]):
    """VPs and VCs in use, none of them twice."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[int, int | None], _N] = {}
        self._vcs: Counter[int] = Counter()  # VCs in each VP, so that a conflict is found without a search

    def add(self, item: _N) -> None:
        self.by_key[item.vpi, item.vci] = item
        if item.vci is not None:
            self._vcs[item.vpi] += 1

    def remove(self, item: _N) -> None:
        del self.by_key[item.vpi, item.vci]
        if item.vci is not None:
            self._vcs[item.vpi] -= 1

    def conflict(self, vpi: int, vci: int | None) -> str | None:
        """The name of what is in the way of another VP or VC, or None."""
        if (vpi, None) in self.by_key:
            return _name(vpi, None)
        if vci is None:
            return f"a VC of VP {vpi}" if self._vcs[vpi] else None
        return _name(vpi, vci) if (vpi, vci) in self.by_key else None


class CrossConnects:
    """The connections of a port: those that come in there, and what leaves use there. A VP is looked up before a VC."""

    def __init__(self, port: str, interface: Interface) -> None:
        self.port = port
        self.interface = interface
        self.vp_ends: dict[int, OamPoint] = {}
        """Points that take the F4 cells of VPs which end here, by VPI."""
        self.last: CrossConnect | None = None
        """The connection that was found last: the next cell is often its own."""
        self._vps: dict[int, CrossConnect] = {}  # by VPI
        self._vcs: dict[int, CrossConnect] = {}  # by VPI and VCI, as in a header's first 32 bits
        self._inputs: _Taken[CrossConnect] = _Taken()
        self._outputs: _Taken[Leaf] = _Taken()
        self._vpi_mask = 0xFF if interface is Interface.UNI else 0xFFF

    def find(self, word: int) -> CrossConnect | None:
        """The connection of a cell by the first 32 bits of its header; None for an empty cell, and for none (-1)."""
        vpi, vci = word >> 20 & self._vpi_mask, word >> 4 & 0xFFFF
        if word < 0 or not (vpi or vci):
            return None
        connection = self._vps.get(vpi)
        return self._vcs.get(vpi << 16 | vci) if connection is None else connection

    def add_input(self, connection: CrossConnect) -> None:
        """Add a connection that comes in here; raise ValueError when its numbers do not fit, or are taken."""
        self._check(connection.vpi, connection.vci, self._inputs)
        self._inputs.add(connection)
        connection.begin()
        if connection.vci is None:
            self._vps[connection.vpi] = connection
        else:
            self._vcs[connection.vpi << 16 | connection.vci] = connection

    def remove_input(self, connection: CrossConnect) -> None:
        """Remove a connection that comes in here; raise ValueError when it does not."""
        if self._inputs.by_key.get((connection.vpi, connection.vci)) is not connection:
            raise ValueError(f"{_name(connection.vpi, connection.vci)} does not come in at {self.port}")
        self._inputs.remove(connection)
        if connection.vci is None:
            del self._vps[connection.vpi]
        else:
            del self._vcs[connection.vpi << 16 | connection.vci]
        self.last = None

    def add_output(self, leaf: Leaf) -> None:
        """Use a VP or VC of this port for a leaf; raise ValueError as `add_input` does."""
        self._check(leaf.vpi, leaf.vci, self._outputs)
        self._outputs.add(leaf)
        leaf.begin()

    def remove_output(self, leaf: Leaf) -> None:
        """Free what a leaf used."""
        self._outputs.remove(leaf)

    def inputs(self) -> list[CrossConnect]:
        """The connections that come in here, in the order in which they were made."""
        return list(self._inputs.by_key.values())

    def _check(self, vpi: int, vci: int | None, taken: _Taken[CrossConnect] | _Taken[Leaf]) -> None:
        """Raise ValueError, which says what is wrong, for numbers that cannot be used."""
        name = f"{_name(vpi, vci)} at {self.port}"
        if not 0 <= vpi <= self._vpi_mask:
            raise ValueError(f"{name}: a VPI is 0 to {self._vpi_mask} at {self.interface.upper()}")
        if vci is not None and (not 0 <= vci <= 0xFFFF or vci in _KEPT_VCIS):
            raise ValueError(f"{name}: a VCI is 5 or from 7 to 65535; those below belong to the VP")
        if (other := taken.conflict(vpi, vci)) is not None:
            raise ValueError(f"{name} is taken: {other} is connected there")


def _name(vpi: int, vci: int | None) -> str:
    return f"VP {vpi}" if vci is None else f"VC {vpi}/{vci}"
