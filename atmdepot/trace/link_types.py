"""ATM link types that need another tool first, or that are read as another type: a line for the user on each.

The numbers are pcap's (tcpdump.org/linktypes.html), and the older numbers that some systems wrote in their place.
"""

from __future__ import annotations

from atmdepot.trace.capture.pcap import LinkType, link_type_text

_CHOP = ("`editcap {chop} -T atm-rfc1483 IN OUT` takes the card's header off (it is longer where it has extensions) "
         "and leaves LLC frames, which are read")

READ_AS: dict[int, str] = {
    LinkType.OLD_RFC1483: "an old number of 100 (ATM_RFC1483), as which it is read; "
                          "`editcap -T atm-rfc1483 IN OUT` writes that number",
    LinkType.OLD_ATM_CLIP: "an old number of 106 (ATM_CLIP), read as IP or LLC of which the VC is not told; "
                           "`editcap -T linux-atm-clip IN OUT` writes that number",
    LinkType.ATM_CLIP: "Classical IP over ATM, read as IP or LLC of which the VC is not told; where all of it is IP, "
                       "`editcap -T rawip IN OUT` makes plain IP of it, for other tools"}
"""Lines for the user on link types that are read, but hold less than it may seem."""

CONVERTED: dict[int, str] = {
    LinkType.JUNIPER_ATM1: "frames of a Juniper ATM1 card: " + _CHOP.format(chop="-C 8")
                           + "; `tshark -r IN` reads it as it is",
    LinkType.JUNIPER_ATM2: "frames of a Juniper ATM2 card: " + _CHOP.format(chop="-C 12")
                           + "; `tshark -r IN` reads it as it is",
    LinkType.MTP2: "signalling of SS7 (MTP level 2), which ATM cells do not carry: there is nothing to convert, and "
                   "`tshark -r IN` shows it"}
"""Advice on link types that are not read."""


def advice(link_type: int) -> str:
    """A line on a link type that is not read: its contents, and the tool that converts it."""
    if link_type in CONVERTED:
        return f"the link type is {link_type_text(link_type)}, {CONVERTED[link_type]}"
    return ""
