"""Scapy layers for cells, AAL5 and OAM, for a Scapy shell, a test bench or a class room.

::

    ATM, ATM_NNI      a cell: header with HEC, 48 octets         I.361, I.432.1
      ATMOAM          the payload of an OAM cell, with CRC-10    I.610
    ATMTrain          the cells of a UDP datagram (ATMTrain_NNI)
    AAL5              a CPCS-PDU, whose payload is its SDU       I.363.5
      IP, IPv6, LLC   as Scapy has them                          RFC 2684
      LLCBridged, VCBridged                                      RFC 2684 sections 5.2 and 6.2
      EdgeStatistics                                             the report of this project's edge nodes
      DepotMessage / DepotAnnouncement, DepotRecall, EdgeFlows   what depots and edge nodes tell each other

    cells(packet, vpi, vci)   cuts        reassemble(cells)   joins        verdict(packet)   checks

Checks, lengths and pads are computed unless they are given. In dissection, octets that are
too few for a layer stay `Raw`, and every dissected packet builds to the same octets again. Importing this module
changes no other layer's dissection: a UDP port carries cells only after `bind_ports`.

Scapy is an extra: `pip install 'atmdepot[trace]'`.
"""

from __future__ import annotations

try:
    import scapy  # noqa: F401 - before all that needs it
except ModuleNotFoundError as error:
    raise ImportError("the Scapy layers need Scapy: pip install 'atmdepot[trace]'", name="scapy") from error

from atmdepot.trace.scapy.aal5 import AAL5, LLCBridged, VCBridged
from atmdepot.trace.scapy.announcement import DepotAnnouncement, DepotMessage, DepotRecall, EdgeFlows
from atmdepot.trace.scapy.cells import ATM, ATM_NNI, ATMOAM, idle_cell
from atmdepot.trace.scapy.sar import cells, reassemble, verdict
from atmdepot.trace.scapy.socket import AtmUdpSocket
from atmdepot.trace.scapy.statistics import EdgeStatistics
from atmdepot.trace.scapy.trains import ATMTrain, ATMTrain_NNI, bind_ports, unbind_ports

__all__ = ["AAL5", "ATM", "ATMOAM", "ATM_NNI", "ATMTrain", "ATMTrain_NNI", "AtmUdpSocket",
           "DepotAnnouncement", "DepotMessage", "DepotRecall", "EdgeFlows", "EdgeStatistics", "LLCBridged", "VCBridged",
           "bind_ports", "cells", "idle_cell", "reassemble", "unbind_ports", "verdict"]
