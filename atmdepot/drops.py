"""The reasons for drops. Each reason is also the name of a counter; every drop is counted by its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, Self


class DropReason(StrEnum):
    """A reason for a drop: `text` is its meaning, `unit` the unit that is counted."""

    unit: str
    text: str
    __hash__ = str.__hash__  # Enum's hash is a Python function, and slow

    def __new__(cls, name: str, unit: str, text: str) -> Self:
        """Make a member; as a string it is the name of its counter."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.unit = unit
        member.text = text
        return member

    # On a link, before there is a cell.
    NOT_THE_PEER = "not-the-peer", "datagrams", "it came from another address than the link's far end"
    WRONG_INTERFACE = ("wrong-interface", "datagrams",
                       "it came by another interface than that by which the link's far end is reached")
    BAD_TAG = "bad-tag", "datagrams", "its tag was not made with the link's key, or it has none"
    WRONG_LABEL = "wrong-label", "datagrams", "on a link of format pwe3: its label is not the link's"
    REPLAYED = "replayed", "datagrams", "its tag is right, but its counter came before, or is too old"
    NOT_WHOLE_CELLS = "not-whole-cells", "datagrams", "it does not hold whole cells"
    RX_OVERFLOW = "rx-overflow", "datagrams", "the socket's receive buffer was full"
    TX_OVERFLOW = "tx-overflow", "cells", "the socket's send buffer and the link's backlog were full"
    TX_ERROR = "tx-error", "cells", "the system refused to send"
    LINE_OVERFLOW = "line-overflow", "cells", "the queue in front of the line was full"
    LINE_LOSS = "line-loss", "cells", "the line's impairments lost it"
    # Cells.
    HEC_ERROR = "hec-error", "cells", "its header has an error that cannot be corrected (I.432.1)"
    UNKNOWN_VC = "unknown-vc", "cells", "no VC has its VPI and VCI"
    NOT_USER_DATA = "not-user-data", "cells", "an OAM, RM or signalling cell that this node does not handle"
    ABOVE_PCR = "above-pcr", "cells", "policing: it came faster than its contract's PCR allows"
    ABOVE_SCR = "above-scr", "cells", "policing: it came faster than its contract's SCR and MBS allow"
    BAD_FRAME = ("bad-frame", "cells",
                 "policing of GFR: its frame is longer than MFS, mixes CLP 0 and 1, or lost a cell before")
    SHAPER_FULL = "shaper-full", "cells", "the queue in front of its VC's shaper had no room for its train"
    QUEUE_FULL = "queue-full", "cells", "its output queue had no room"
    CLP_THRESHOLD = "clp-threshold", "cells", "its CLP is 1, and its output queue was at the threshold for such cells"
    EPD = "epd", "cells", "early packet discard: its PDU began while the output queue was above the threshold"
    PPD = "ppd", "cells", "partial packet discard: the output queue lost an earlier cell of its PDU"
    BAD_OAM = "bad-oam", "cells", "an OAM cell whose CRC-10 is wrong (I.610)"
    STRAY_LOOPBACK = ("stray-loopback", "cells",
                      "an OAM loopback for another place, an answer that nobody waits for, or too many at a time")
    # Frames of Frame Relay.
    BAD_ADDRESS = "bad-address", "frames", "its Q.922 address has not two octets"
    UNKNOWN_DLCI = "unknown-dlci", "frames", "no PVC has its DLCI"
    BAD_LMI = ("bad-lmi", "frames",
               "on DLCI 0: no LMI message of ANSI T1.617 annex D, or none that this side of the LMI expects")
    ABOVE_BE = "above-be", "frames", "policing: it came faster than its PVC's CIR, Bc and Be allow"
    INACTIVE_PVC = "inactive-pvc", "frames", "its PVC is inactive: the LMI calls it so, does not list it, or is down"
    CIR_QUEUE_FULL = "cir-queue-full", "frames", "too many frames waited for its PVC's CIR"
    FRAME_NOT_SENT = ("frame-not-sent", "frames",
                      "the system refused to send it, or the socket's send buffer and the link's backlog were full")
    LOST_FRAME = "lost-frame", "frames", "the line's live impairments lost it, or too many were on their way"
    # AAL5 PDUs.
    CRC_ERROR = "crc-error", "PDUs", "the CRC-32 of its CPCS trailer is wrong"
    LENGTH_ERROR = "length-error", "PDUs", "its Length does not fit its number of cells"
    ABORTED = "aborted", "PDUs", "its Length is 0: the sender gave it up"
    OVERSIZE = "oversize", "PDUs", "it grew beyond the greatest SDU of its VC, or frame of its DLCI"
    REASSEMBLY_TIMEOUT = "reassembly-timeout", "PDUs", "its last cell did not come in time"
    ROUTE_CHANGED = "route-changed", "PDUs", "its VP's protection moved to the other route before its last cell came"
    REASSEMBLY_OVERFLOW = "reassembly-overflow", "PDUs", "too many octets waited for last cells; the oldest PDU went"
    BAD_STATISTICS = "bad-statistics", "PDUs", "what came on the management VC is no statistics of a known version"
    BAD_ANNOUNCEMENT = ("bad-announcement", "PDUs",
                        "what came on the management VC is no message of the depot at the VP's other end")
    OTHER_BUILD = ("other-build", "PDUs",
                   "the node at the other end runs another build of atmdepot, whose message this one does not know")
    UNKNOWN_ENCAPSULATION = ("unknown-encapsulation", "PDUs",
                             "its LLC/SNAP header (RFC 2684) or NLPID (RFC 2427) is none that carries IP")
    BAD_ILMI = ("bad-ilmi", "PDUs",
                "what came on VC 0/16 is no SNMP message of the community ILMI, or too many came in a second")
    BAD_FCS = "bad-fcs", "PDUs", "the FCS of the Ethernet frame in it is wrong, or missing with fcs = \"yes\""
    OTHER_STATION = ("other-station", "PDUs",
                     "the Ethernet frame in it is for another station than the node, or comes from the node itself")
    UNKNOWN_ETHERTYPE = "unknown-ethertype", "PDUs", "the Ethernet frame in it carries neither IP nor ARP"
    BAD_NEIGHBOUR = "bad-neighbour", "PDUs", "the ARP or neighbour discovery in it is malformed"
    # Ethernet frames at a port of the depot's.
    CUT_FRAME = "cut-frame", "frames", "it is shorter than an Ethernet header"
    TAGGED_FRAME = "tagged-frame", "frames", "it has a VLAN tag, and the port is of no VLAN"
    NOT_FOR_US = "not-for-us", "frames", "it is for another MAC address than the port's, or for a group"
    STRANGER = "stranger", "frames", "it comes from a MAC address that is no server's at the port"
    OTHER_FRAME = "other-frame", "frames", "it carries neither IP nor ARP"
    BAD_ANSWER = "bad-answer", "frames", "its ARP or neighbour discovery is malformed"
    CLAIMED = ("claimed", "frames",
               "it claims a server's address for another MAC address than the known one, or without being asked")
    BAD_OFFLOAD = "bad-offload", "frames", "its virtio_net_hdr contradicts its packet"
    FRAME_OVERFLOW = "frame-overflow", "frames", "the port was not read fast enough; the kernel's count"
    FRAME_REFUSED = "frame-refused", "frames", "the kernel refused to send it, or its queue was full"
    # Packets of servers whose headers are rewritten.
    NOBODYS = ("nobodys-answer", "packets",
               "it comes from a server's end or to an address of a pool, and no flow has been rewritten to these ends")
    NO_SOURCE_PORT = ("no-source-port", "packets",
                      "all source ports towards its server's end are in use, so no answer could be told from others'")
    NOT_REWRITABLE = ("not-rewritable", "packets",
                      "with source = \"depot\": it has neither ports nor the identifier of an ICMP query")
    # Packets.
    UNRESOLVED = ("unresolved", "packets",
                  "its far node or server has not answered for its MAC address, or too many packets waited")
    NOT_IP = "not-ip", "packets", "its version is neither 4 nor 6"
    MALFORMED = "malformed", "packets", "its headers are cut short or contradict its length"
    NOT_A_SERVICE = "not-a-service", "packets", "it is not addressed to (or from) a VIP and port of this network"
    MULTICAST = "multicast", "packets", "it is for a group of hosts, to which no permanent VC leads"
    NO_SESSION = "no-session", "packets", "it belongs to no session and opens none, so its server cannot be known"
    RECALLING = ("recalling", "packets",
                 "it belongs to no known session while the depot asks the edge nodes for lost sessions")
    NO_SERVER = "no-server", "packets", "no server of the pool is alive"
    TABLE_FULL = "table-full", "packets", "the session table is full"
    FRAGMENT = "fragment", "packets", "a fragment whose first did not come in time"
    WRONG_PATH = "wrong-vp", "packets", "it came on the VP of another server than its session's"
    NO_ROUTE = "no-route", "packets", "no VP or permanent VC carries packets for its destination"
    WRONG_NETWORK = ("wrong-network", "packets",
                     "it came on a VP between edge nodes or a permanent VC, whose networks have not its two addresses")
    TOO_BIG = "too-big", "packets", "it is greater than the path's MTU; an ICMP error went back"
    TUN_QUEUE_FULL = "tun-queue-full", "packets", "the node did not read its TUN device fast enough; the kernel's count"
    TUN_ERROR = "tun-error", "packets", "the TUN device refused it"


AT_SWITCHES = frozenset({
    DropReason.ABOVE_PCR, DropReason.ABOVE_SCR, DropReason.BAD_FRAME, DropReason.PPD})
"""The reasons of switches alone, which police and queue cells: depot and edge nodes have no counters of these."""


OF_FRAMES = (
    DropReason.CUT_FRAME, DropReason.TAGGED_FRAME, DropReason.NOT_FOR_US, DropReason.STRANGER, DropReason.OTHER_FRAME,
    DropReason.BAD_ANSWER, DropReason.CLAIMED, DropReason.BAD_OFFLOAD, DropReason.FRAME_OVERFLOW,
    DropReason.FRAME_REFUSED, DropReason.UNRESOLVED)
"""The reasons of ports of Ethernet frames."""

OF_REWRITING = (DropReason.NOBODYS, DropReason.NO_SOURCE_PORT, DropReason.NOT_REWRITABLE, DropReason.FRAGMENT)
"""The reasons of the port of rewritten packets."""


class OnChannel(Protocol):
    """A type that names a channel: a VC, the header of a cell, a path."""

    @property
    def channel(self) -> tuple[int, ...]:
        """The numbers of the channel; of ATM, VPI and VCI."""


DropObserver = Callable[[DropReason, int, bytes | memoryview, OnChannel | None], None]
"""A function called at a drop: with the reason, the count, the dropped octets or their beginning, and the channel."""


class Drops(Counter[DropReason]):
    """The counters of a place where drops happen, such as a link: a counter for each reason.

    Only `count` increases a counter, so that every observer hears of every drop.
    """

    observers: tuple[DropObserver, ...] = ()

    def subscribe(self, observer: DropObserver) -> None:
        """Report every drop to an observer from now on."""
        # A tuple is replaced, never changed, so `count` may be walking over the old tuple meanwhile.
        self.observers += (observer,)

    def unsubscribe(self, observer: DropObserver) -> None:
        """Stop reporting drops to an observer."""
        self.observers = tuple(other for other in self.observers if other != observer)

    def count(
        self, reason: DropReason, count: int = 1, octets: bytes | memoryview = b"", channel: OnChannel | None = None,
    ) -> None:
        """Count a drop, and tell the observers.

        Args:
            reason: the reason of the drop.
            count: the number of the reason's units.
            octets: the dropped data, or its beginning: cells with their HECs, a packet, a CPCS-PDU, datagrams; empty
                where only the number is known. An observer that keeps octets of it makes a copy.
            channel: the VC, the cell's header or the path, where it is known.

        """
        self[reason] += count
        for observer in self.observers:
            observer(reason, count, octets, channel)
