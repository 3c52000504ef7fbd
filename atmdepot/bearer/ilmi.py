"""ILMI (af-ilmi-0065.000) on VC 0/16 of a link: Get and GetNext of the ATM interface MIB, as bare SNMP in AAL5.

The far end of a link asks what this end is: how many VPs and VCs, how many bits of VPI and VCI, its IP address, the
name of its interface. Nothing can be set, and no trap is sent. The node has no ATM addresses and gives no prefix, so
those tables are empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.vc import Vc
from atmdepot.drops import DropReason
from atmdepot.wire.cell import Interface
from atmdepot.wire.snmp import (
    ADDRESS,
    GET,
    GET_NEXT,
    INTEGER,
    NO_SUCH_NAME,
    SET,
    TEXT,
    TICKS,
    TOO_BIG,
    Oid,
    Request,
    Snmp,
    SnmpError,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.atm.vc import VcTable
    from atmdepot.config.model import Network
    from atmdepot.drops import Drops

ILMI_VPI, ILMI_VCI = 0, 16
COMMUNITY = b"ILMI"
_MOST_OCTETS = 484  # the longest message that a receiver must take (RFC 1157 section 4)
_MOST_A_SECOND = 50
_SECOND, _TICK = 1_000_000_000, 10_000_000
_UPTIME: Oid = (1, 3, 6, 1, 2, 1, 1, 3, 0)
_UNI: Oid = (1, 3, 6, 1, 4, 1, 353, 2)  # atmForumUni
_PORT: Oid = (*_UNI, 1, 1, 1)  # atmfPortEntry; its index and those of the layer are 0, the port of the message
_MY_IP: Oid = (*_UNI, 1, 2, 0)  # atmfMyIpNmAddress
_LAYER: Oid = (*_UNI, 2, 1, 1)  # atmfAtmLayerEntry
_IN_SERVICE, _PRIVATE, _NO_SIGNALLING, _USER, _ILMI_4 = 2, 2, 5, 1, 2


class IlmiStation:
    """The answers of a link's end; to its port, it stands where the bridge of a bridged VC does."""

    fcs = ""
    far_mac = None

    def __init__(self, mib: dict[Oid, Callable[[int], Value]], vc: Vc, drops: Drops) -> None:
        """Answer on `vc` from `mib`, whose values are made at a time in ns since the first message."""
        self._snmp = Snmp()
        self._mib = mib
        self._names = sorted(mib)
        self._vc = vc
        self._drops = drops
        self._out: list[bytes] = []
        self._started: int | None = None  # a far end takes a smaller uptime for a restart
        self._second = self._count = 0
        self.answered = 0

    def receive(self, sdu: bytes, vc: Vc, now: int) -> bytes:
        """Answer a message; no packet comes out of it."""
        if self._started is None:
            self._started = now
        # Reading a message takes long, so a flood of them is dropped unread.
        if now // _SECOND != self._second:
            self._second, self._count = now // _SECOND, 0
        self._count += 1
        try:
            if self._count > _MOST_A_SECOND:
                raise SnmpError("too many")
            request = self._snmp.parse(sdu)
            if request.community != COMMUNITY:
                raise SnmpError("another community")
        except SnmpError:
            self._drops.count(DropReason.BAD_ILMI, 1, sdu, vc)
            return b""
        if request.kind in (GET, GET_NEXT, SET):  # a trap or a response wants no answer
            self._out.append(self._answer(request, now - self._started))
            self.answered += 1
        return b""

    def _answer(self, request: Request, uptime: int) -> bytes:
        answers: list[tuple[Oid, Value | None]] = []
        for index, asked in enumerate(request.names, 1):
            name = self._after(asked) if request.kind == GET_NEXT else asked
            value = None if name is None or request.kind == SET else self._mib.get(name)
            if name is None or value is None:
                return self._snmp.response(request, [(name, None) for name in request.names], NO_SUCH_NAME, index)
            answers.append((name, value(uptime)))
        made = self._snmp.response(request, answers)
        if len(made) > _MOST_OCTETS:
            return self._snmp.response(request, [(name, None) for name in request.names], TOO_BIG)
        return made

    def _after(self, asked: Oid) -> Oid | None:
        """The name that follows in the order of the MIB."""
        return next((name for name in self._names if name > asked), None)

    # For its port.

    @property
    def has_output(self) -> bool:
        """True when answers wait."""
        return bool(self._out)

    def outgoing(self, now: int) -> list[tuple[bytes, Vc, int]]:
        """The answers to send."""
        out, self._out = self._out, []
        return [(sdu, self._vc, 0) for sdu in out]

    def next_timer(self) -> int | None:
        """None: it never acts by itself."""


def _always(number: int) -> Callable[[int], Value]:
    return lambda _: Value(INTEGER, number)


def ilmi_of(network: Network, node: str, link: str, table: VcTable, drops: Drops) -> IlmiStation:
    """Open VC 0/16 in the table of a link, and answer there; raise EnvironmentLacks without the SNMP library."""
    interface = Interface(network.links[link].interface)
    vpi_bits = 8 if interface is Interface.UNI else 12
    vc = Vc(ILMI_VPI, ILMI_VCI, interface=interface, max_sdu=_MOST_OCTETS)
    vps = sum(network.routes.working[name].link_at(node) == link for name in network.vps_of(node))
    layer = {2: 1 << vpi_bits, 3: 1 << 16, 4: vps, 6: vpi_bits, 7: 16, 8: _PRIVATE, 9: _NO_SIGNALLING, 10: _USER,
             11: _ILMI_4}
    mib: dict[Oid, Callable[[int], Value]] = {
        _UPTIME: lambda uptime: Value(TICKS, uptime // _TICK),
        (*_PORT, 1, 0): lambda _: Value(INTEGER, 0),
        (*_PORT, 5, 0): lambda _: Value(INTEGER, _IN_SERVICE),
        (*_PORT, 7, 0): lambda _: Value(TEXT, link.encode()),
        (*_LAYER, 1, 0): lambda _: Value(INTEGER, 0),
        (*_LAYER, 5, 0): lambda _: Value(INTEGER, len(table)),
        **{(*_LAYER, column, 0): _always(value) for column, value in layer.items()},
    }
    own = next((address for address in network.nodes[node].address if address.version == 4), None)
    if own is not None:
        mib[_MY_IP] = lambda _: Value(ADDRESS, own.packed)
    station = IlmiStation(mib, vc, drops)
    table.add(vc)
    vc.bridge = station
    return station
