"""ATM and AAL5 that carry real traffic, and the depot that switches TCP sessions over them.

The codecs and reassembly are usable as a library, without daemon, socket or clock::

    >>> from atmdepot import Reassembler, Vc, VcTable, segment
    >>> vc = Vc(vpi=1, vci=64)
    >>> train = segment(b"an IP packet, or any octets", vc)
    >>> len(train) // 53                                  # cells
    1
    >>> [sdu.octets for sdu in Reassembler(VcTable(vc)).receive(train, now=0)]
    [b'an IP packet, or any octets']
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from atmdepot import build as _build

_build.choose()  # before any module that may be compiled

if TYPE_CHECKING:
    from atmdepot.atm.sar import Reassembler, Sdu, segment
    from atmdepot.atm.vc import Vc, VcTable
    from atmdepot.config.contract import Contract, ServiceCategory
    from atmdepot.drops import DropReason
    from atmdepot.wire.aal5 import Aal5Error, CpcsPdu, CrcMode, cells_needed, cpcs_pdu, parse_cpcs_pdu
    from atmdepot.wire.cell import CellHeader, HecMode, HecReceiver, Interface, hec
    from atmdepot.wire.llc import Encapsulation, EncapsulationError, Payload, decapsulate, encapsulate
    from atmdepot.wire.oam import OamPayload

__version__ = "0.2.0"

__all__ = [
    "Aal5Error",
    "CellHeader",
    "Contract",
    "CpcsPdu",
    "CrcMode",
    "DropReason",
    "Encapsulation",
    "EncapsulationError",
    "HecMode",
    "HecReceiver",
    "Interface",
    "OamPayload",
    "Payload",
    "Reassembler",
    "Sdu",
    "ServiceCategory",
    "Vc",
    "VcTable",
    "cells_needed",
    "cpcs_pdu",
    "decapsulate",
    "encapsulate",
    "hec",
    "parse_cpcs_pdu",
    "segment",
]

_NAMES_OF = {
    "atmdepot.config.contract": ("Contract", "ServiceCategory"),
    "atmdepot.atm.sar": ("Reassembler", "Sdu", "segment"),
    "atmdepot.atm.vc": ("Vc", "VcTable"),
    "atmdepot.drops": ("DropReason",),
    "atmdepot.wire.aal5": ("Aal5Error", "CpcsPdu", "CrcMode", "cells_needed", "cpcs_pdu", "parse_cpcs_pdu"),
    "atmdepot.wire.cell": ("CellHeader", "HecMode", "HecReceiver", "Interface", "hec"),
    "atmdepot.wire.llc": ("Encapsulation", "EncapsulationError", "Payload", "decapsulate", "encapsulate"),
    "atmdepot.wire.oam": ("OamPayload",),
}
"""The public names of each module. A module is imported at the first use of a name, so commands start fast."""
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}

if not TYPE_CHECKING:  # with a module `__getattr__`, type checkers would accept any name

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        value = globals()[name] = getattr(_import_module(_MODULE_OF[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
