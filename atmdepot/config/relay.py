"""The values of a VC table for Frame Relay: the LMI of a link, and PVCs between two nodes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from atmdepot.config.units import BitRate, Dlci, DlciRange, Duration

MOST_OCTETS = 65_503
"""Octets of the longest IP packet in a frame: 65,507 fit a datagram, and 4 are of the frame's header."""
_HEADER_BITS = 8 * 4
_COMMITTED_INTERVAL = 8
"""Committed intervals a second, where the table does not say Bc: 125 ms each."""

Polls = Annotated[int, Meta(ge=1, le=255)]
Events = Annotated[int, Meta(ge=1, le=10)]
Bits = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Lmi(Struct, forbid_unknown_fields=True, kw_only=True):
    """The LMI of a link (ANSI T1.617 annex D). `network` is the end that answers; the other end asks."""

    type: Literal["ansi", "none"] = "ansi"
    network: str | None = None
    t391: Duration = field(default_factory=lambda: Duration.parse("10s"))
    t392: Duration = field(default_factory=lambda: Duration.parse("15s"))
    n391: Polls = 6
    n392: Events = 3
    n393: Events = 4


class Dlcis(Struct, forbid_unknown_fields=True, kw_only=True):
    """PVCs of Frame Relay between two nodes: one for all packets, one for statistics, and a range for sessions.

    `vp` is the VP that they go on from, where an end is an interworking function. `cir`, `bc` and `be` are of each PVC:
    bits in a second, and in each committed interval of Bc/CIR.
    """

    ends: list[str]
    dlci: Dlci
    management_dlci: Dlci | None = None
    session_dlcis: DlciRange | None = None
    via: str | None = None
    vp: str | None = None
    mtu: Annotated[int, Meta(ge=576, le=MOST_OCTETS)] = 1500
    cir: BitRate | None = None
    own_bc: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = field(name="bc", default=None)
    be: Bits = 0
    police: bool = False

    @property
    def bc(self) -> int:
        """Bc in bits: that of the table, or what the CIR gives in 125 ms, but room for the greatest frame."""
        if self.own_bc is not None or self.cir is None:
            return self.own_bc or 0
        return max(self.cir // _COMMITTED_INTERVAL, self.greatest_frame)

    @property
    def greatest_frame(self) -> int:
        """Bits of the greatest frame."""
        return 8 * self.mtu + _HEADER_BITS

    @property
    def statistics_dlci(self) -> int:
        """The DLCI of the reports: `management_dlci`, or the least free DLCI."""
        if self.management_dlci is not None:
            return self.management_dlci
        own = self.session_dlcis
        # The rules leave at least one DLCI free.
        return next(dlci for dlci in range(16, 992) if dlci != self.dlci and not (own and own.holds(dlci)))

    def all(self) -> list[int]:
        """Its DLCIs."""
        own = self.session_dlcis
        return sorted({int(self.dlci), self.statistics_dlci, *(range(own.first, own.last + 1) if own else ())})

    def other_end(self, node: str) -> str:
        """The node at the far end."""
        return next(end for end in self.ends if end != node)
