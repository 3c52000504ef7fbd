"""The messages of depots and edge nodes in words: announcements, recalls and their answers, and statistics."""

from __future__ import annotations

from atmdepot.config.units import count_text
from atmdepot.wire.announcement import Announcement, Claim, Recall, read
from atmdepot.wire.statistics import Statistics


def message_text(octets: bytes) -> str:
    """A message of a depot or an edge node, as it stands on the management channel."""
    try:
        told = read(octets)
    except ValueError as error:
        return f"no message of depots and edge nodes: {error}"
    if isinstance(told, Announcement):
        role = "is active" if told.claim & Claim.ACTIVE else "runs"
        handing = " and hands over" if told.claim & Claim.HANDING_OVER else ""
        return (f"announcement: {told.node} {role}{handing} in set {told.of}, term {told.term}, "
                f"each {told.period:,} ms")
    if isinstance(told, Recall):
        since = f"the flows of the last {told.since:,} ms" if told.since else "all flows"
        return f"recall {told.number}: {since}"
    last = ", the last" * told.is_last
    return f"part {told.part} of the answer to recall {told.number}{last}: {count_text(len(told.flows), 'flow')}"


def statistics_text(octets: bytes) -> str:
    """The statistics of an edge node."""
    try:
        told = Statistics.unpack(octets)
    except ValueError as error:
        return f"no statistics of an edge node: {error}"
    server = told.server.name.lower()
    follows = f", follows {told.follows} of term {told.term}" if told.follows else ""
    proxy = f", a proxy with {told.proxy.hits} hits, {told.proxy.misses} misses" if told.proxy else ""
    return (f"statistics {told.sequence} of an edge node: server {server}, {count_text(told.flows, 'flow')}{follows}"
            f"{proxy}")
