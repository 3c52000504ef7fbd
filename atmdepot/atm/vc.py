"""A virtual channel as its end point holds it, and the table that finds the VC of a link's cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.signatures import OfInit
from atmdepot.wire.aal5 import MAX_SDU, CrcMode, cells_of
from atmdepot.wire.arguments import fitting, member, whole_number
from atmdepot.wire.cell import HEADER_SIZE, Interface
from atmdepot.wire.llc import Encapsulation
from atmdepot.wire.octets import vc_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT_CONTRACT = Contract()
_PAGE, _LOW_BITS, _HIGH_BITS = 1 << 8, 0xFF, 8


class Vc:
    """An end of a VC: its VPI and VCI, contract, headers, counters and the PDU being reassembled.

    The four headers that it sends (CLP 0 or 1, last cell or not) are made once, so a cell costs no HEC computation.
    """

    __slots__ = (
        "bridge", "category", "cells_pending", "clp_pending", "contract", "crc", "discarding", "encapsulation",
        "header_octets", "max_cells", "max_sdu", "owner", "pieces", "rx_cells", "rx_clp1", "rx_efci", "rx_pdus",
        "started", "tx_cells", "tx_pdus", "vci", "vpi",
    )
    __signature__ = OfInit()

    def __init__(
        self, vpi: int, vci: int, *, interface: Interface | str = "uni", contract: Contract | str | None = None,
        encapsulation: Encapsulation | str = "vc-mux", crc: CrcMode | str = "strict", max_sdu: int = 65535,
    ) -> None:
        """Make a VC.

        Args:
            vpi: 0 to 255 at a UNI, 0 to 4095 at an NNI.
            vci: 0 to 65535.
            interface: the header format, or its value.
            contract: a contract, or its text as in "cbr:pcr=10kcps"; None is UBR at the link's rate.
            encapsulation: that of its packets, or its value.
            crc: the CRCs that it writes and accepts, or that mode's value.
            max_sdu: the octets of its greatest SDU, 1 to 65535.

        Raises:
            ValueError: for a value that does not fit or is unknown, with the field's name and what would be right.
            TypeError: the same for a value of another type.

        """
        header = member(Interface, "interface", interface)
        place = f" at {header.upper()}"
        vpi = fitting("vpi", vpi, 8 if header is Interface.UNI else 12, place)
        vci = fitting("vci", vci, 16, place)
        of_packets = member(Encapsulation, "encapsulation", encapsulation)
        max_sdu = whole_number("max_sdu", max_sdu, 1, MAX_SDU)
        self._begin(vpi, vci, _contract(contract, of_packets), of_packets, member(CrcMode, "crc", crc), max_sdu,
                    cells_of(max_sdu))

    def beside(self, vci: int, contract: Contract) -> Vc:
        """Make a VC of the same VP with equal encapsulation, CRC mode and greatest SDU; the caller checks the VCI."""
        made = Vc.__new__(Vc)
        made._begin(self.vpi, vci, contract, self.encapsulation, self.crc, self.max_sdu, self.max_cells)
        made.bridge = self.bridge
        return made

    def _begin(
        self, vpi: int, vci: int, contract: Contract, encapsulation: Encapsulation, crc: CrcMode, max_sdu: int,
        max_cells: int,
    ) -> None:
        self.vpi, self.vci = vpi, vci
        self.category: ServiceCategory = contract.category
        self.contract = contract
        self.encapsulation = encapsulation
        self.crc = crc
        self.max_sdu = max_sdu
        self.max_cells = max_cells
        self.header_octets = vc_headers(vpi, vci)
        self.owner: object = None
        self.bridge: Any = None  # of a VC with a bridged encapsulation: what makes frames of its packets
        self.tx_cells = self.tx_pdus = self.rx_cells = self.rx_pdus = self.rx_clp1 = self.rx_efci = 0
        # Reassembly (I.363.5 section 8.2.2): payloads so far, the OR of their CLP bits, the time of the first (ns).
        self.pieces: list[bytes] = []
        self.cells_pending = self.clp_pending = self.started = 0
        self.discarding = False

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """For CLP 0 and CLP 1, a pair of headers: that of all cells of a PDU but the last, and that of the last."""
        octets = self.header_octets
        cut = [octets[at:at + HEADER_SIZE] for at in range(0, len(octets), HEADER_SIZE)]
        return (cut[0], cut[1]), (cut[2], cut[3])

    @property
    def channel(self) -> tuple[int, int]:
        """VPI and VCI."""
        return self.vpi, self.vci

    def __repr__(self) -> str:
        return f"Vc({self.vpi}/{self.vci} {self.category})"


def _contract(given: Contract | str | None, encapsulation: Encapsulation) -> Contract:
    if isinstance(given, Contract):
        return given
    if given is None:
        return _DEFAULT_CONTRACT
    try:
        return Contract.parse(given, encapsulation.before_ip)
    except ValueError as error:
        raise ValueError(f"contract: {error}") from None


class _Pages:
    """The VCs of a link in pages of 256 VCIs that follow each other. One dict would move all VCs when it grows."""

    __slots__ = ("by_number", "count")

    def __init__(self) -> None:
        self.by_number: dict[int, list[Vc | None]] = {}  # by the VPI and the high bits of the VCI
        self.count = 0


class VcTable:
    """The VCs of a link by VPI and VCI."""

    __slots__ = ("_pages", "_recent")
    __signature__ = OfInit()

    def __init__(self, *vcs: Vc) -> None:
        """Open these VCs; raise ValueError for two with the same VPI and VCI, TypeError for what is no VC."""
        self._pages = _Pages()
        # A cache of the VCs opened or found last, by the low bits of the VCI: it serves most cells.
        self._recent: list[Vc | None] = [None] * _PAGE
        for vc in vcs:
            if not isinstance(vc, Vc):
                raise TypeError(f"a VcTable is made of VCs, and {vc!r} is none: write VcTable(vc, another)")
            VcTable.add(self, vc)

    def add(self, vc: Vc) -> None:
        """Open a VC; raise ValueError when its VPI and VCI are in use."""
        pages, number, at = self._pages, vc.vpi << _HIGH_BITS | vc.vci >> _HIGH_BITS, vc.vci & _LOW_BITS
        page = pages.by_number.get(number)
        if page is None:
            page = pages.by_number[number] = [None] * _PAGE
        if page[at] is None:
            page[at] = vc
            pages.count += 1
        elif page[at] is not vc:
            raise ValueError(f"VC {vc.vpi}/{vc.vci} is already open")
        self._recent[at] = vc

    def remove(self, vc: Vc) -> None:
        """Close a VC."""
        pages, at = self._pages, vc.vci & _LOW_BITS
        page = pages.by_number.get(vc.vpi << _HIGH_BITS | vc.vci >> _HIGH_BITS)
        if page is not None and page[at] is not None:
            page[at] = None
            pages.count -= 1
        self._recent[at] = None

    def find(self, vpi: int, vci: int) -> Vc | None:
        """The VC with this VPI and VCI, or None."""
        recent = self._recent[vci & _LOW_BITS]
        if recent is not None and recent.vci == vci and recent.vpi == vpi:
            return recent
        page = self._pages.by_number.get(vpi << _HIGH_BITS | vci >> _HIGH_BITS)
        if page is None:
            return None
        vc = page[vci & _LOW_BITS]
        if vc is not None:
            self._recent[vci & _LOW_BITS] = vc
        return vc

    def stray(self, vpi: int, vci: int, payload: bytes) -> Vc | None:
        """The VC of a cell on an unknown VC, chosen by its 48 octets; None, as here, has the cell dropped."""
        return None

    def __iter__(self) -> Iterator[Vc]:
        """Yield the VCs by VPI and VCI."""
        for _, page in sorted(self._pages.by_number.items()):
            yield from [vc for vc in page if vc is not None]

    def __len__(self) -> int:
        return self._pages.count
