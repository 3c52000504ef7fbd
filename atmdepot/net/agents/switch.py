"""The management agent of a switch: its cross-connects, and the commands that change them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from msgspec import UNSET

from atmdepot.config.contract import Contract
from atmdepot.config.reading import fault_of_entry_name
from atmdepot.config.routes import Place, entry_of
from atmdepot.errors import AtmdepotError
from atmdepot.net.agents.agent import Agent, Clock, Command, Family, Sample, View
from atmdepot.net.agents.rows import OamRow, VcRow
from atmdepot.net.oam_view import LOOPBACK
from atmdepot.switch.table import wanted_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from atmdepot.switch.node import Crossed, SwitchNode
    from atmdepot.switch.oam import Passing

_UBR = Contract()
_LONGEST_NAME = 32


class VcList(msgspec.Struct, forbid_unknown_fields=True):
    """A request for the cross-connects."""

    vc_list: bool


class VcAdd(msgspec.Struct, forbid_unknown_fields=True):
    """A request to lead what comes in at a place to others."""

    vc_add: str
    to: list[str]
    contract: str | None = None
    name: str | None = None


class VcRemove(msgspec.Struct, forbid_unknown_fields=True):
    """A request to lead what comes in at a place to these others no more; to none where `to` is empty."""

    vc_remove: str
    to: list[str] = []


class SwitchAgent(Agent):
    """The agent of a switch."""

    node: SwitchNode

    # What is shown.

    def vcs(self, limit: int, clock: Clock) -> Iterator[VcRow]:
        """The cross-connects, each with what came in."""
        del clock
        return (self._row(crossed) for crossed in islice(list(self.node.crossed.values()), limit))

    def _row(self, crossed: Crossed) -> VcRow:
        connection, place = crossed.connection, crossed.wanted.place
        contract, policer = connection.contract or _UBR, connection.policer
        leaves = connection.leaves
        return VcRow(
            node=self.node.name, link=place.link, vc=place.numbers, category=contract.category,
            contract=str(contract), encapsulation=UNSET, fcs=UNSET, far_mac=UNSET, crc=UNSET, tx_pdus=UNSET,
            rx_pdus=UNSET, rx_clp1_pdus=UNSET, rx_efci_pdus=UNSET, rx_cells=connection.rx_cells,
            carries=_carried(crossed),
            tx_cells=sum(leaf.queued.entered for leaf in leaves),
            to=", ".join(str(Place(leaf.port, leaf.vpi, leaf.vci)) for leaf in leaves) or "none",
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

    def samples(self, clock: Clock) -> Iterator[Sample]:
        """The cells of each cross-connect, and its drops by reason."""
        del clock
        for place, crossed in list(self.node.crossed.items()):
            connection, labels = crossed.connection, (place.link, place.numbers)
            yield Sample("cross_connect_cells", connection.rx_cells, (*labels, "rx"))
            yield Sample("cross_connect_cells", sum(leaf.queued.entered for leaf in connection.leaves), (*labels, "tx"))
            dropped = {} if connection.policer is None else dict(connection.policer.discarded)
            if connection.policer is not None:
                yield Sample("cross_connect_tagged_cells", connection.policer.tagged, labels)
            for leaf in connection.leaves:
                for reason, count in leaf.queued.dropped.items():
                    dropped[reason] = dropped.get(reason, 0) + count
            for reason, count in dropped.items():
                yield Sample("cross_connect_dropped_cells", count, (*labels, str(reason)))

    # What is changed.

    def vc_list(self, request: VcList, now: int) -> dict[str, Any]:
        """The cross-connects, in the form of `[connects.NAME]`."""
        del request, now
        return {"rows": [
            {"from": str(one.wanted.place), "to": ", ".join(map(str, one.wanted.leaves)), "name": one.wanted.name,
             "contract": "" if one.wanted.contract is None else str(one.wanted.contract),
             "kept": "by its VP or VC" if one.wanted.is_derived else "until a restart" if one.is_live else "saved"}
            for one in self.node.crossed.values()]}

    def vc_add(self, request: VcAdd, now: int) -> dict[str, Any]:
        """Make a cross-connect, or give one further leaves."""
        del now
        node = self.node
        place, leaves = _read(request.vc_add, request.to)
        if not leaves:
            raise AtmdepotError("write at least one place where the cells go")
        try:
            contract = None if request.contract is None else Contract.parse(request.contract)
        except ValueError as error:
            raise AtmdepotError(str(error)) from None
        name = request.name if request.name is not None else (
            f"{place.link}-{place.numbers}".replace("/", "-")[-_LONGEST_NAME:])
        if fault := fault_of_entry_name(name[:_LONGEST_NAME + 1]):  # such a table could not be read again
            raise AtmdepotError(fault)
        saved = node.network.connects.get(name)  # that of this place may have been removed since, live
        if place not in node.crossed and (
                (saved is not None and (saved.switch, saved.place) != (node.name, place))
                or any(one.wanted.name == name for one in node.crossed.values())):
            raise AtmdepotError(f"the name {name} is taken: give another with --name")
        node.add(wanted_by(node.network, node.name, name, place, leaves, contract))
        return {"done": f"{node.name}: {place} leads to {', '.join(map(str, node.crossed[place].wanted.leaves))}"}

    def vc_remove(self, request: VcRemove, now: int) -> dict[str, Any]:
        """Remove a cross-connect, or leaves of one."""
        del now
        place, leaves = _read(request.vc_remove, request.to)
        self.node.remove(place, leaves)
        left = self.node.crossed.get(place)
        told = ", ".join(map(str, left.wanted.leaves)) if left is not None else "nowhere"
        return {"done": f"{self.node.name}: {place} leads to {told}"}

    views: ClassVar[Mapping[str, View]] = {"vcs": vcs, "oam": passing}
    commands: ClassVar[Mapping[str, Command]] = {
        "vc_list": Command(VcList, vc_list, changes=False), "vc_add": Command(VcAdd, vc_add),
        "vc_remove": Command(VcRemove, vc_remove)}
    families: ClassVar[Mapping[str, Family]] = {
        "cross_connect_cells": Family(True, "Cells of a cross-connect: rx came in, tx entered the output queues.",
                                      ("link", "vc", "direction")),
        "cross_connect_tagged_cells": Family(True, "Cells of the cross-connect that policing tagged.", ("link", "vc")),
        "cross_connect_dropped_cells": Family(True, "Cells that policing or the output queues dropped.",
                                              ("link", "vc", "reason"))}


def _carried(crossed: Crossed) -> str:
    """The place in the VC table of what a cross-connect is for, as `check` says it; its name if it is live."""
    wanted = crossed.wanted
    if wanted.is_derived:
        return entry_of(wanted.name, wanted.place)
    return wanted.name if crossed.is_live else f"connects.{wanted.name}"


def _read(place: str, leaves: list[str]) -> tuple[Place, tuple[Place, ...]]:
    """Read places; raise AtmdepotError."""
    try:
        return Place.parse(place), tuple(map(Place.parse, leaves))
    except ValueError as error:
        raise AtmdepotError(str(error)) from None
