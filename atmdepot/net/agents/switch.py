"""The management agent of a switch."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from msgspec import UNSET

from atmdepot.config.contract import Contract
from atmdepot.net.agents.agent import Agent, Clock, View
from atmdepot.net.agents.rows import OamRow, VcRow
from atmdepot.net.oam_view import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from atmdepot.switch.node import Crossed, SwitchNode
    from atmdepot.switch.oam import Passing

_UBR = Contract()


class SwitchAgent(Agent):
    """The agent of a switch."""

    node: SwitchNode

    def vcs(self, limit: int, clock: Clock) -> Iterator[VcRow]:
        """The cross-connects, each with what came in."""
        del clock
        return (self._row(crossed) for crossed in islice(list(self.node.crossed.values()), limit))

    def _row(self, crossed: Crossed) -> VcRow:
        connection, place = crossed.connection, crossed.wanted.place
        contract, policer = connection.contract or _UBR, connection.policer
        leaves = connection.leaves
        return VcRow(
            node=self.node.name, link=place.link, vc=number_of(place.vpi, place.vci), category=contract.category,
            contract=str(contract), encapsulation=UNSET, fcs=UNSET, far_mac=UNSET, crc=UNSET, tx_pdus=UNSET,
            rx_pdus=UNSET, rx_clp1_pdus=UNSET, rx_efci_pdus=UNSET, carries=crossed.wanted.name,
            rx_cells=connection.rx_cells,
            tx_cells=sum(leaf.queued.entered for leaf in leaves),
            to=", ".join(f"{leaf.port} {number_of(leaf.vpi, leaf.vci)}" for leaf in leaves) or "none",
            conforming=connection.rx_cells - (policer.tagged + sum(policer.discarded.values()) if policer else 0),
            tagged=policer.tagged if policer else 0,
            policed=sum(policer.discarded.values()) if policer else 0,
            dropped=sum(sum(leaf.queued.dropped.values()) for leaf in leaves), live=crossed.is_live)

    def passing(self, limit: int, clock: Clock) -> Iterator[OamRow]:
        """The VPs that pass, in each direction, with the loopbacks that were answered."""
        del clock
        return (self._oam_row(point) for point in islice(list(self.node.oam.points.values()), limit))

    def _oam_row(self, point: Passing) -> OamRow:
        signal = self.node.oam.signals.get(point.place.link)
        is_silent = signal is not None and not signal.has_signal
        row = OamRow(
            node=self.node.name, link=point.place.link, vp=point.name, vc=str(point.place.vpi), flow="F4 passes",
            state="sends AIS" if is_silent else "ok", why=f"no signal on link {point.place.link}" * is_silent,
            loopbacks=point.answered, sent=point.answered)
        if signal is not None:
            row.sent += signal.alarms_sent_on_each
        if point.segment is not None:
            row.flow = "F4 segment"
            row.loopbacks += point.segment.received[LOOPBACK]
            row.sent += point.segment.sent.total()
        return row

    def links_without_signal(self) -> list[str]:
        """The supervised links that are silent."""
        return [name for name, signal in self.node.oam.signals.items() if not signal.has_signal]

    views: ClassVar[Mapping[str, View]] = {"vcs": vcs, "oam": passing}


def number_of(vpi: int, vci: int | None) -> str:
    """A VP (`1`) or VC (`1/64`) in words."""
    return str(vpi) if vci is None else f"{vpi}/{vci}"
