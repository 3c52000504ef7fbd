"""ATM and AAL5 that carry real traffic, and the depot that switches TCP sessions over them.

The codecs and reassembly are a library of their own; no daemon, socket or clock is needed::

    >>> from atmdepot import Reassembler, Vc, VcTable, segment
    >>> vc = Vc(vpi=1, vci=64)
    >>> train = segment(b"an IP packet, or any octets", vc)
    >>> len(train) // 53                                  # cells
    1
    >>> [sdu.octets for sdu in Reassembler(VcTable(vc)).receive(train, now=0)]
    [b'an IP packet, or any octets']
"""

from importlib.metadata import version as _version

from atmdepot import build as _build

_build.choose()  # before any module that may be compiled

# ruff: noqa: E402
from atmdepot.atm.sar import Reassembler, Sdu, segment
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.drops import DropReason
from atmdepot.wire.aal5 import Aal5Error, CpcsPdu, CrcMode, cells_needed, cpcs_pdu, parse_cpcs_pdu
from atmdepot.wire.cell import CellHeader, HecReceiver, Interface, hec
from atmdepot.wire.llc import Encapsulation, decapsulate, encapsulate
from atmdepot.wire.oam import OamPayload

__version__ = _version("atmdepot")

__all__ = [
    "Aal5Error",
    "CellHeader",
    "Contract",
    "CpcsPdu",
    "CrcMode",
    "DropReason",
    "Encapsulation",
    "HecReceiver",
    "Interface",
    "OamPayload",
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
