"""An ATM switch: cells come in on a port, and leave where the cross-connects of their VP or VC say (ITU-T I.311).

The way of a train: `receive` cuts it where the connection changes. A stretch of cells of a connection is policed once,
and copied once for each leaf, with new headers and HECs; then it enters the output of the leaf's port. Cells that
cannot go that way take `_single`: wrong HECs, empty cells, OAM cells and unknown VCs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from atmdepot.atm.connections import CrossConnect, CrossConnects, Leaf
from atmdepot.atm.runs import with_header
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import (
    CELL_SIZE,
    FIRST_USER_VCI,
    HEADER_SIZE,
    CellHeader,
    HecMode,
    HecReceiver,
    Interface,
    header_with_hec,
)
from atmdepot.wire.oam import OamFlow
from atmdepot.wire.octets import good_word_at, headers_of, run_end

if TYPE_CHECKING:
    from atmdepot.atm.queueing import QueuedVc
    from atmdepot.atm.scheduler import QueueClass
    from atmdepot.config.contract import Contract


_CORRECTION = HecMode.CORRECTION


class Output(Protocol):
    """The output of a port: a `LinkScheduler`, or a `DirectOutput` where the link has no rate."""

    def enter(self, name: QueueClass, vc: QueuedVc, cells: bytes, now: int) -> int:
        """Take cells of a VC; return how many were let in."""

    def leave(self, now: int) -> bytes:
        """The cells that leave by `now`."""


class DirectOutput:
    """The output of a link that is as fast as UDP: what enters leaves at once, in order, and nothing is queued."""

    def __init__(self) -> None:
        self._cells: list[bytes] = []

    def enter(self, name: QueueClass, vc: QueuedVc, cells: bytes, now: int) -> int:
        """See `Output.enter`."""
        self._cells.append(cells)
        count = len(cells) // CELL_SIZE
        vc.entered += count
        return count

    def leave(self, now: int) -> bytes:
        """See `Output.leave`."""
        cells = b"".join(self._cells)
        self._cells.clear()
        return cells

    def next_timer(self) -> int | None:
        """See `Output.next_timer`."""
        return 0 if self._cells else None


class Port:
    """A port of a switch: a link with its header format, its output, its drops and its cross-connects."""

    def __init__(self, name: str, interface: Interface, output: Output, drops: Drops) -> None:
        """Make a port without cross-connects."""
        self.name = name
        self.interface = interface
        self.output = output
        self.drops = drops
        self.hec = HecReceiver()
        self.table = CrossConnects(name, interface)
        self.rx_cells = self.unassigned_cells = 0


class Switch:
    """A switch with its ports; times in ns."""

    def __init__(self) -> None:
        self.ports: dict[str, Port] = {}

    def add_port(self, name: str, *, interface: Interface = Interface.UNI, output: Output | None = None,
                 drops: Drops | None = None) -> Port:
        """Add a port, with the drops of its output; raise ValueError when its name is taken."""
        if name in self.ports:
            raise ValueError(f"port {name} is there already")
        port = self.ports[name] = Port(
            name, interface, output or DirectOutput(), Drops() if drops is None else drops)
        return port

    def connect(self, port: str, vpi: int, vci: int | None, leaves: list[Leaf], *, contract: Contract | None = None,
                police: bool = True, more_cdvt: int = 0) -> CrossConnect:
        """Lead cells that come in on a VP (`vci` None) or VC to leaves, more of them for point to multipoint.

        The contract chooses the queues, and with `police` cells beyond it are tagged or discarded; `more_cdvt` (ns) is
        that of `Policer`. Raises ValueError for numbers that do not fit, a VP or VC that is taken on either side, a
        contract that cannot be held, and an unknown port.
        """
        made = CrossConnect(self._port(port).interface, vpi, vci, contract)
        if police:
            made.police(self._port(port).drops, more_cdvt)
        self._port(port).table.add_input(made)
        try:
            for leaf in leaves:
                self.add_leaf(made, leaf)
        except ValueError:
            self.disconnect(port, made)
            raise
        return made

    def add_leaf(self, connection: CrossConnect, leaf: Leaf) -> None:
        """Lead a connection's cells to one more place; raise ValueError as `connect` does."""
        if (leaf.vci is None) != (connection.vci is None):
            place = f"{leaf.port} {leaf.vpi}" + ("" if leaf.vci is None else f"/{leaf.vci}")
            raise ValueError(f"{place}: a VP leads to VPs and a VC to VCs")
        self._port(leaf.port).table.add_output(leaf)
        leaf.queue, leaf.queued = connection.queue, connection.queued(leaf)
        connection.leaves.append(leaf)

    def remove_leaf(self, connection: CrossConnect, leaf: Leaf) -> None:
        """Lead no more cells to a leaf; raise ValueError when the connection does not have it."""
        connection.leaves.remove(leaf)
        self._port(leaf.port).table.remove_output(leaf)

    def disconnect(self, port: str, connection: CrossConnect) -> None:
        """Remove a connection that came in on a port, with its leaves; cells that wait in queues still leave."""
        self._port(port).table.remove_input(connection)
        for leaf in list(connection.leaves):
            self.remove_leaf(connection, leaf)

    def receive(self, name: str, cells: bytes, now: int) -> None:
        """Switch cells that came in on a port together; raise ValueError for no whole number of cells."""
        port = self._port(name)
        table = port.table
        at, count = 0, len(cells) // CELL_SIZE
        if len(cells) != count * CELL_SIZE:
            raise ValueError(f"{len(cells)} octets are no whole number of {CELL_SIZE}-octet cells")
        port.rx_cells += count
        while at < count:
            connection = table.last
            end = at if connection is None else connection.stretch(cells, at)
            if end == at:
                connection = table.find(good_word_at(cells, at))
                end = at if connection is None else connection.stretch(cells, at)
            if connection is None or end == at:
                end = run_end(headers_of(cells), at, count)
                self._single(port, cells[at * CELL_SIZE:end * CELL_SIZE], now)
            else:
                table.last = connection
                # A good header leads back to correction mode; a call of `HecReceiver` would cost more.
                port.hec.mode = _CORRECTION
                self._forward(connection, cells, at, end, now)
            at = end

    def insert(self, connection: CrossConnect, flow: OamFlow, payload: bytes, now: int) -> None:
        """Send an OAM cell (its 48 octets) along a connection, as if it had come in there."""
        header = flow.header(connection.vpi, connection.vci or 0, connection.interface)
        self._to_leaves(connection, header + payload, 0, 1, now)

    def _single(self, port: Port, octets: bytes, now: int) -> None:
        """Check cells with an uncommon header, which is the same in all, each by itself where its HEC is wrong."""
        header = octets[:HEADER_SIZE]
        if header_with_hec(header[:4]) == header:
            port.hec.mode = _CORRECTION
            self._special(port, header, octets, now)
            return
        for at in range(0, len(octets), CELL_SIZE):
            mended = port.hec.receive(header)
            cell = octets[at:at + CELL_SIZE]
            if mended is None:
                port.drops.count(DropReason.HEC_ERROR, 1, cell)
            else:
                self._special(port, mended, with_header(cell, mended), now)

    def _special(self, port: Port, header: bytes, cells: bytes, now: int) -> None:
        """Cells with a good header that are OAM cells for a point here, corrected, empty, or of no connection."""
        fields = CellHeader.unpack(header, port.interface)
        count = len(cells) // CELL_SIZE
        if fields.is_idle:
            port.unassigned_cells += count
            return
        connection, flow = port.table.find(int.from_bytes(header[:4], "big")), OamFlow.of(fields)
        if connection is not None:
            if connection.point is not None and connection.flow(header) is not None:
                connection.rx_cells += count
                on = connection.point.pass_on(cells, now)
                self._to_leaves(connection, on, 0, len(on) // CELL_SIZE, now)
            else:
                self._forward(connection, cells, 0, count, now)
            return
        end = port.table.vp_ends.get(fields.vpi)
        if end is not None and flow is not None and flow.is_of_vp:
            end.pass_on(cells, now)  # the VP ends here, so nothing goes on
            return
        reason = DropReason.UNKNOWN_VC if fields.vci >= FIRST_USER_VCI else DropReason.NOT_USER_DATA
        port.drops.count(reason, count, cells, fields)

    def _forward(self, connection: CrossConnect, cells: bytes, first: int, end: int, now: int) -> None:
        """A stretch of cells of one connection, with good headers: `first` to `end`, not included."""
        connection.rx_cells += end - first
        if connection.tells_point and connection.point is not None:
            connection.point.user_cells(end - first, now)
        if connection.policer is not None:
            cells = connection.policer.police(cells[first * CELL_SIZE:end * CELL_SIZE], now)
            first, end = 0, len(cells) // CELL_SIZE
        self._to_leaves(connection, cells, first, end, now)

    def _to_leaves(self, connection: CrossConnect, cells: bytes, first: int, end: int, now: int) -> None:
        if first == end:
            return
        for leaf in connection.leaves:
            port: Port = self.ports[leaf.port]
            port.output.enter(leaf.queue, leaf.queued, leaf.relabelled(cells, first, end), now)

    def _port(self, name: str) -> Port:
        if name not in self.ports:
            raise ValueError(f"there is no port {name}: {', '.join(self.ports) or 'the switch has none'}")
        return self.ports[name]
