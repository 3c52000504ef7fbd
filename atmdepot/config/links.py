"""Links and what crosses them in a VC table: VPs, permanent VCs and cross-connects."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from atmdepot.config.contract import Contract
from atmdepot.config.relay import Lmi
from atmdepot.config.routes import Place
from atmdepot.config.units import CellRate, Duration, IpNetwork, LinkKey, UdpAddress, Vci, VciRange
from atmdepot.config.values import Count, Mtu, Ratio, Weight  # noqa: TC001 - msgspec reads the annotations at run time

QueueName = Literal["CBR", "rt-VBR", "nrt-VBR", "GFR", "UBR"]
"""The queues of a link, by service category; `atm/scheduler.py` has them as `QueueClass`."""

_WAIT_TO_RESTORE = Duration.parse("5min")

Encapsulation = Literal["vc-mux", "llc", "vc-mux-bridged", "llc-bridged"]
"""The encapsulations of RFC 2684; `wire/llc.py` has them."""

_HEADERS: dict[Encapsulation, int] = {"vc-mux": 0, "llc": 8, "vc-mux-bridged": 16, "llc-bridged": 24}
_FIRST_LABEL = 16  # a label has 20 bits; 0 to 15 are reserved (RFC 3032)
LEAST_BURST = 64
"""Least burst of a line after a late wake-up, in cells: a quarter of the capacity of a Dynamips socket."""


class Line(Struct, forbid_unknown_fields=True, kw_only=True):
    """Rate, delay and impairments of a direction of a link. In `from`, a key that is left out has the link's value."""

    rate: CellRate | None = None
    delay: Duration | None = None
    jitter: Duration | None = None
    queue: Count | None = None
    burst: Count | None = None
    cell_loss: Ratio | None = None
    header_bit_errors: Ratio | None = None
    payload_bit_errors: Ratio | None = None
    misinsertion: Ratio | None = None
    reordering: Ratio | None = None
    # The integers of TOML have 64 bits.
    seed: Annotated[int, Meta(ge=-2**63, le=2**63 - 1)] | None = None

    @property
    def impaired(self) -> bool:
        """True when cells may be lost, damaged, misinserted or reordered."""
        return any((self.cell_loss, self.header_bit_errors, self.payload_bit_errors, self.misinsertion,
                    self.reordering))

    @property
    def timed(self) -> bool:
        """True when cells are paced or delayed."""
        return self.rate is not None or bool(self.delay or self.jitter)


class Link(Line, forbid_unknown_fields=True, kw_only=True):
    """A link over UDP, of ATM by default: a UDP address for each end; values of `Line` hold for both directions."""

    ends: dict[str, UdpAddress]
    bearer: Literal["atm", "frame-relay"] = "atm"
    lmi: Lmi = field(default_factory=Lmi)
    cells: Annotated[int, Meta(ge=1, le=1235)] = 27  # 1235 cells and a tag fit UDP's 65,507 octets over IPv4
    interface: Literal["uni", "nni"] = "uni"
    source_check: Literal["strict", "loose"] = "strict"
    format: Literal["cells", "pwe3"] = "cells"
    # None where the table has no `label`, since the rules refuse it beside `format = "cells"`.
    own_label: Annotated[int, Meta(ge=_FIRST_LABEL, le=2**20 - 1)] | None = field(name="label", default=None)
    key: LinkKey | None = None
    key_file: str | None = None
    queues: dict[QueueName, Count] = {}
    weights: dict[QueueName, Weight] = {}
    overbook: bool = False
    supervise: Duration | None = None
    ilmi: bool = False
    # `from` is a keyword of Python.
    from_: dict[str, Line] = field(name="from", default={})

    def line_from(self, node: str, live: Line | None = None) -> Line:
        """The direction in which `node` sends: its live values, else its own `from` values, else the link's."""
        layers = (live or Line(), self.from_.get(node, Line()), self)
        line = Line(**{name: next((value for layer in layers if (value := getattr(layer, name)) is not None), None)
                       for name in Line.__struct_fields__})
        if line.rate and not line.burst:
            line.burst = self._default_burst(line.rate)
        return line

    def _default_burst(self, rate: CellRate) -> int:
        """Cells that may leave together after a late wake-up: few where each is a datagram, else 2 ms at the rate."""
        return LEAST_BURST if self.cells == 1 else max(LEAST_BURST, int(rate) // 500)

    @property
    def label(self) -> int:
        """The pseudowire's MPLS label: that of the table, or 16, the least that is not reserved (RFC 3032)."""
        return _FIRST_LABEL if self.own_label is None else self.own_label

    @property
    def has_key(self) -> bool:
        """True when the link's datagrams have a tag."""
        return self.key is not None or self.key_file is not None

    def other_end(self, node: str) -> str:
        """The node at the far end."""
        return next(name for name in self.ends if name != node)


def octets_before(encapsulation: Encapsulation, *, fcs: bool) -> int:
    """Octets that an encapsulation adds to a packet (RFC 2684 sections 5 and 6), with those of Ethernet."""
    return _HEADERS[encapsulation] + (4 if fcs and "bridged" in encapsulation else 0)


class Vp(Struct, forbid_unknown_fields=True, kw_only=True):
    """A VP between the depot and an edge node, or between two edge nodes, and its VCIs.

    `via` and `protect` are the switches of its working route and of its protection route, in order from the first end.
    """

    ends: list[str]
    vpi: Annotated[int, Meta(ge=0, le=4095)]  # 12 bits at an NNI; the rules check the 8 bits of a UNI
    default_vci: Vci = field(default_factory=lambda: Vci(32))
    management_vci: Vci | None = None
    session_vcis: VciRange | None = None
    shared_vcs: dict[str, Vci] = {}
    encapsulation: Encapsulation = "vc-mux"
    fcs: Literal["auto", "yes", "no"] = "auto"
    crc: Literal["strict", "dynamips", "ignore"] = "strict"
    mtu: Mtu = 9180
    via: list[str] = []
    protect: list[str] | None = None
    # None where the table lacks the key, since the rules refuse both without `protect`.
    own_protection: Literal["1+1", "1:1"] | None = field(name="protection", default=None)
    own_wait_to_restore: Duration | None = field(name="wait_to_restore", default=None)
    contract: str | None = None
    continuity_check: bool | None = None
    segments: list[str] = []
    performance_monitoring: Literal[128, 256, 512, 1024] | None = None
    networks: dict[str, list[IpNetwork]] = {}

    @property
    def header_octets(self) -> int:
        """Octets that the encapsulation adds to a packet; those of an FCS too, if there may be one."""
        return octets_before(self.encapsulation, fcs=self.fcs != "no")

    @property
    def protection(self) -> Literal["1+1", "1:1"]:
        """The use of a protected VP's routes (I.630): both carry cells (1+1), or the one in use (1:1)."""
        return self.own_protection or "1+1"

    @property
    def wait_to_restore(self) -> Duration:
        """The time for which the working route must have been good before the VP goes back to it."""
        return _WAIT_TO_RESTORE if self.own_wait_to_restore is None else self.own_wait_to_restore

    @property
    def agreed(self) -> Contract | None:
        """The contract of the whole VP; raises ValueError for a text that is none."""
        return None if self.contract is None else Contract.parse(self.contract, self.header_octets)

    @property
    def checks_continuity(self) -> bool:
        """True when both ends send CC cells and expect them: as the table says, else where the VP is protected."""
        return self.protect is not None if self.continuity_check is None else self.continuity_check

    @property
    def statistics_vci(self) -> int:
        """The VCI of the management VC: `management_vci`, or the least free VCI of the VP from 32 up."""
        if self.management_vci is not None:
            return self.management_vci
        taken = {int(self.default_vci), *map(int, self.shared_vcs.values())}
        own = self.session_vcis
        # The rules leave at least one VCI free.
        return next(vci for vci in range(32, 65536) if vci not in taken and not (own and own.holds(vci)))


class PermanentVc(Struct, forbid_unknown_fields=True, kw_only=True):
    """A permanent VC from its root, the first of `ends`, to another end, or to several (point to multipoint).

    `networks` has the networks to which each end sends on it; with several ends only the root sends.
    """

    ends: list[str]
    vpi: Annotated[int, Meta(ge=0, le=4095)]
    vci: Vci
    contract: str | None = None
    encapsulation: Encapsulation = "vc-mux"
    fcs: Literal["auto", "yes", "no"] = "auto"
    crc: Literal["strict", "dynamips", "ignore"] = "strict"
    mtu: Mtu = 9180
    networks: dict[str, list[IpNetwork]] = {}

    @property
    def header_octets(self) -> int:
        """Octets that the encapsulation adds to a packet; those of an FCS too, if there may be one."""
        return octets_before(self.encapsulation, fcs=self.fcs != "no")

    @property
    def agreed(self) -> Contract | None:
        """The contract of the VC; raises ValueError for a text that is none."""
        return None if self.contract is None else Contract.parse(self.contract, self.header_octets)


class CrossConnect(Struct, forbid_unknown_fields=True, kw_only=True):
    """A cross-connect of a switch, besides those of VPs and VCs; `atmdepot vc save` writes them.

    What comes in at `from` (`LINK VPI` or `LINK VPI/VCI`) leaves at each place of `to`.
    """

    switch: str
    # `from` is a keyword of Python.
    from_: str = field(name="from")
    to: Annotated[list[str], Meta(min_length=1)]
    contract: str | None = None

    @property
    def place(self) -> Place:
        """The place at which its cells come in; raises ValueError for a text that is no place."""
        return Place.parse(self.from_)

    @property
    def leaves(self) -> tuple[Place, ...]:
        """The places at which its cells leave; raises ValueError for a text that is no place."""
        return tuple(map(Place.parse, self.to))

    @property
    def agreed(self) -> Contract | None:
        """Its contract; raises ValueError for a text that is none."""
        return None if self.contract is None else Contract.parse(self.contract)
