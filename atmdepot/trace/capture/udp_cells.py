"""Cells in UDP datagrams: bare cells and trains, and the cells of RFC 4717 over MPLS-in-UDP (RFC 7510).

::

    cells      cell 53, once or more
    tagged     cell 53, once or more | counter 8 | tag 16                                   see `wire/link_tag.py`
    RFC 4717   label stack, control word, cells without HEC; to port 6635                   see `wire/pseudowire.py`

With the ports of the links given, every datagram of these ports is taken. Without ports, the datagrams between two
addresses and ports must first prove to be cells: each datagram is a whole number of cells, every HEC is right, and
among the cells there are two different headers, a single-cell PDU with a right CRC-32, or an OAM cell with a right
CRC-10. By chance, 1 in 65,000 conversations passes whose datagrams are all multiples of 53 octets long. Datagrams wait
for the proof, and so arrive late; the first datagram that fails marks the conversation as not cells.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.drops import DropReason
from atmdepot.net.events import Cells, Drop
from atmdepot.trace.capture.datagrams import IsFragment, NoCells, datagram_of, datagram_of_fragments, unpack_ports
from atmdepot.trace.fragments import FragmentJoiner
from atmdepot.trace.sources import CapturedCells, HecMark
from atmdepot.wire.aal5 import CrcMode, parse_cpcs_pdu
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, CellHeader, Interface, hec
from atmdepot.wire.ip import address_text, endpoint
from atmdepot.wire.link_tag import TAG_SIZE, direction_of, is_tagged_with
from atmdepot.wire.oam import OamPayload
from atmdepot.wire.pseudowire import BARE_CELL, MPLS_PORT, NotPseudowire, cells_at, label_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from atmdepot.trace.capture.datagrams import Datagram
    from atmdepot.trace.fragments import Fragment
    from atmdepot.trace.notes import Notes
    from atmdepot.trace.sources import SourceRecord

    Endpoint = tuple[str, int]
    """An address as text, and a port."""
    LinkNames = Callable[[Endpoint, Endpoint], tuple[str, str, str] | None]
    """Node, link and direction (`in` or `out`, as the node sees it) of datagrams from an end to another, if known."""

_MAX_STREAMS = 8  # views of interfaces on the same flow
_MAX_CHANCES = 64  # flows passed by in the search for a flow to forget
_SHOWN = 256  # octets kept of a dropped datagram
_OAM_PTIS, _OAM_VCIS = {4, 5}, {3, 4}  # F5 by PTI, F4 by VCI (I.361)
_NO_CELLS = "UDP datagrams that hold no cells"
_UNPROVEN = "UDP datagrams that may hold cells"
_FRAGMENTS = "IP fragments"
_NO_MPLS_CELLS = "MPLS-in-UDP datagrams that hold no cells"


class _Conversation:
    """Two ends that exchange datagrams.

    `sure` tells if the datagrams hold cells (None: not known yet); the cells in `waiting` wait for a proof.
    """

    __slots__ = ("cells", "headers", "sure", "waiting")

    def __init__(self, sure: bool | None) -> None:
        self.sure = sure
        self.headers: set[bytes] = set()
        self.waiting: list[Cells] = []
        self.cells = 0


class Tagged(NamedTuple):
    """Tags of a link's datagrams: in use or not (None: unknown), the key if known, and the direction in the tag."""

    known: bool | None = None
    key: bytes | None = None
    direction: int = 0


_UNKNOWN = Tagged()


class _Stream(NamedTuple):
    """The datagrams from an end to another as an interface saw them."""

    interface: int
    hint: str
    node: str
    link: str
    direction: str
    conversation: _Conversation
    tagged: Tagged


class UdpCells:
    """Finds the cells in IP packets, for all interfaces of a capture."""

    def __init__(self, notes: Notes, ports: Collection[int] = (), names: LinkNames | None = None, *,
                 max_flows: int = 1 << 16, max_waiting: int = 1 << 14, all_fragments: bool = True) -> None:
        """Take the datagrams of `ports` (no ports: datagrams that prove to be cells); `names` names their links.

        Without a name a link is called by its two ends. Its direction is then `out` from the lesser address and port,
        unless the capture tells which packets the machine sent itself. At most `max_flows` pairs of ends are
        remembered, and at most `max_waiting` cells wait for a proof; the oldest are dropped. `all_fragments` tells that
        the source gives all fragments of a packet, not the first fragment alone, and that they can be reassembled.
        """
        self._notes = notes
        self._ports = frozenset(ports)
        self._names = names
        self._max_flows = max_flows
        self._max_waiting = max_waiting
        self._flows: dict[bytes, list[_Stream]] = {}
        self._fragments = FragmentJoiner() if all_fragments else None
        self._has_fragments = False
        self._undecided: dict[_Conversation, None] = {}
        self._waiting = 0

    def packet(self, time: int, octets: bytes, at: int, hint: str = "", interface: int = 0) -> SourceRecord | None:
        """Return the cells in the IP packet at `at`, if it holds cells.

        `hint` is `in` or `out` if the capturing machine received or sent the packet. `interface` is the number of the
        interface: the views of two interfaces on the same packets are kept apart.
        """
        try:
            try:
                datagram = datagram_of(octets, at)
            except IsFragment as part:
                return self._fragment(time, part.fragment, hint, interface)
            return self._cells(time, datagram, hint, interface)
        except NoCells as passed:
            self._notes.count(passed.kind)
            return None

    def _fragment(self, time: int, fragment: Fragment, hint: str, interface: int) -> SourceRecord | None:
        """Return the cells in a datagram that this fragment completes."""
        if not self._has_fragments:
            self._has_fragments = True
            seen = "seen where all fragments of a datagram are here" if self._fragments else \
                "not seen here; a capture of all fragments shows them"
            self._notes.tell(f"datagrams were cut to IP fragments: their cells are {seen}")
        if self._fragments is None:
            raise NoCells(_FRAGMENTS)
        joined = self._fragments.add(time, fragment, interface, hint)
        self._count_fragments()
        return None if joined is None else self._cells(time, datagram_of_fragments(joined), hint, interface)

    def _count_fragments(self) -> None:
        """Count the fragments of datagrams that were never complete."""
        if self._fragments is not None and self._fragments.lost:
            self._notes.count(_FRAGMENTS, self._fragments.lost)
            self._fragments.lost = 0

    def finish(self) -> None:
        """Drop the datagrams that still wait for a proof or for their other fragments, and count them."""
        if self._fragments is not None:
            self._fragments.finish()
            self._count_fragments()
        for conversation in list(self._undecided):
            self._give_up(conversation)
        if count := self._notes.passed_over[_UNPROVEN]:
            self._notes.tell(f"{count} UDP datagrams may hold cells, but too few, or too much alike, to be sure of it: "
                             "give the ports of the links with --port to see them")

    def _cells(self, time: int, datagram: Datagram, hint: str, interface: int) -> SourceRecord | None:
        """Return the cells in a datagram, or in its captured part."""
        addresses, ports, payload, length = datagram
        source, destination = unpack_ports(ports)
        if self._ports and destination not in self._ports and source not in self._ports:
            raise NoCells("UDP datagrams of other ports")
        stream = self._stream(addresses, ports, hint, interface)
        # Only the destination port marks MPLS-in-UDP; the source port spreads flows (RFC 7510 section 3).
        if destination == MPLS_PORT:
            return self._mpls(time, stream, payload, length)
        return self._bare(time, stream, payload, length)

    # Streams.

    def _stream(self, addresses: bytes, ports: bytes, hint: str, interface: int) -> _Stream:
        key = addresses + ports
        streams = self._flows.get(key)
        if streams is None:
            if len(self._flows) >= self._max_flows:
                self._forget_one()
            streams = self._flows[key] = []
        for stream in streams:
            if stream.interface == interface and stream.hint == hint:
                return stream
        half = len(addresses) // 2
        back = self._flows.get(addresses[half:] + addresses[:half] + ports[2:] + ports[:2], [])
        stream = self._new_stream(key, half, hint, interface, len(streams), back)
        # Beyond the bound, a stream is made again for each datagram.
        if len(streams) < _MAX_STREAMS:
            streams.append(stream)
        return stream

    def _new_stream(self, key: bytes, half: int, hint: str, interface: int, number: int,
                    back: list[_Stream]) -> _Stream:
        """Make a stream: the `number`th of its flow; `back` are the streams of the opposite flow."""
        ends = [(key[:half], int.from_bytes(key[-4:-2], "big")), (key[half:2 * half], int.from_bytes(key[-2:], "big"))]
        source, destination = ((address_text(address), port) for address, port in ends)
        named = self._names(source, destination) if self._names else None
        if named is not None:
            node, link, direction = named
        else:
            node, direction = "", hint or ("out" if ends[0] <= ends[1] else "in")
            # The two streams of a conversation get opposite directions.
            if len(back) > number:
                direction = "in" if back[number].direction == "out" else "out"
            # The source port of MPLS-in-UDP is no address: it only spreads flows over paths (RFC 7510 section 3).
            mpls = destination[1] == MPLS_PORT
            link = "-".join(endpoint(address, None if mpls else port) for address, port in sorted(ends))
        # "#2" and so on: another interface's view of the same flow.
        if number:
            link += f"#{number + 1}"
        known = True if self._ports or named is not None else None
        conversation = back[number].conversation if len(back) > number else _Conversation(known)
        tagged = self._names.tagged(source, destination) if isinstance(self._names, NamedLinks) else _UNKNOWN
        return _Stream(interface, hint, node, link, direction, conversation, tagged)

    def _forget_one(self) -> None:
        """Forget the oldest flow, but first pass by up to 64 flows that are known to hold cells."""
        for key in list(itertools.islice(self._flows, _MAX_CHANCES)):
            if not any(stream.conversation.sure for stream in self._flows[key]):
                break
            self._flows[key] = self._flows.pop(key)
        else:
            key = next(iter(self._flows))
        for stream in self._flows.pop(key):
            if stream.conversation in self._undecided:
                self._give_up(stream.conversation)

    # Payloads.

    def _bare(self, time: int, stream: _Stream, payload: bytes, length: int) -> SourceRecord | None:
        conversation = stream.conversation
        count, rest = divmod(length, CELL_SIZE)
        # If tags are possible, a rest of exactly a tag's size is a tag.
        is_tagged = rest == TAG_SIZE and stream.tagged.known is not False
        if stream.tagged.known and _is_forged(stream.tagged, payload, length, is_tagged):
            return Drop(time, stream.link, DropReason.BAD_TAG, 1, payload[:_SHOWN], None, stream.node)
        if is_tagged:
            rest, length = 0, length - TAG_SIZE
            payload = payload[:length]
        if rest or not count:
            if conversation.sure:
                # A node drops and counts this datagram, too.
                return Drop(time, stream.link, DropReason.NOT_WHOLE_CELLS, 1, payload[:_SHOWN], None, stream.node)
            if conversation.sure is None:
                self._settle(conversation, False)
            raise NoCells(_NO_CELLS)
        if len(payload) < length:
            # The capture cut the datagram: only its whole cells are used.
            payload = payload[:self._there(len(payload) // CELL_SIZE, count) * CELL_SIZE]
        if not payload:
            return None
        cells = Cells(time, stream.link, stream.direction, payload, stream.node)
        if not conversation.sure:
            self._doubt(conversation, cells)
            return None
        return cells

    def _doubt(self, conversation: _Conversation, cells: Cells) -> None:
        """Hold cells that are not proven: they wait, are released with the cells before them, or are passed over."""
        if conversation.sure is False:
            raise NoCells(_NO_CELLS)
        conversation.waiting.append(cells)
        count = len(cells.octets) // CELL_SIZE
        conversation.cells += count
        self._waiting += count
        self._undecided.setdefault(conversation)
        verdict = _prove(conversation.headers, cells.octets)
        if verdict is not None:
            self._settle(conversation, verdict)
        while self._waiting > self._max_waiting:
            self._give_up(next(iter(self._undecided)))

    def _settle(self, conversation: _Conversation, sure: bool) -> None:
        conversation.sure = sure
        waiting = self._release(conversation)
        if sure:
            # Pending records are given before the next record.
            self._notes.pending += waiting
        elif waiting:
            self._notes.count(_NO_CELLS, len(waiting))

    def _give_up(self, conversation: _Conversation) -> None:
        """Pass over the cells that waited too long; later datagrams of the conversation may still prove to be cells."""
        self._notes.count(_UNPROVEN, len(self._release(conversation)))

    def _release(self, conversation: _Conversation) -> list[Cells]:
        waiting, conversation.waiting = conversation.waiting, []
        self._waiting -= conversation.cells
        conversation.cells = 0
        self._undecided.pop(conversation, None)
        return waiting

    def _mpls(self, time: int, stream: _Stream, payload: bytes, length: int) -> SourceRecord | None:
        try:
            label, at = label_of(payload, length)
        except NotPseudowire:
            raise NoCells(_NO_MPLS_CELLS) from None
        there = self._there((len(payload) - at) // BARE_CELL, (length - at) // BARE_CELL)
        if not there:
            return None
        return CapturedCells(time, f"{stream.link}/{label}", stream.direction, cells_at(payload, at, there),
                             stream.node, HecMark.ABSENT, Interface.NNI)

    def _there(self, there: int, count: int) -> int:
        """Return the number of a datagram's captured cells; count the cells that are cut off."""
        if there < count:
            self._notes.once("cells cut off by the snap length", "the capture holds only a part of this datagram",
                             count - there)
        return there


def _is_forged(tagged: Tagged, payload: bytes, length: int, has_tag: bool) -> bool:
    """True for a datagram that a link with a key drops; a datagram that was cut by the capture is never judged."""
    if not has_tag:
        return True
    return (tagged.key is not None and len(payload) == length
            and not is_tagged_with(tagged.key, tagged.direction, payload))


def _prove(headers: set[bytes], cells: bytes) -> bool | None:
    """True for proven cells, by HECs, the headers met before (they are added to) and CRCs; None: not known yet."""
    proven = False
    for at in range(0, len(cells), CELL_SIZE):
        header = cells[at:at + HEADER_SIZE]
        if hec(header[:4]) != header[4]:
            return False
        headers.add(header)
        proven = proven or len(headers) > 1 or _has_right_crc(header, cells[at + HEADER_SIZE:at + CELL_SIZE])
    return proven or None


def _has_right_crc(header: bytes, payload: bytes) -> bool:
    """True for a cell that is a whole PDU, or an OAM cell, with a right CRC (for a PDU, Dynamips' CRC also counts)."""
    fields = CellHeader.unpack(header)
    try:
        if fields.is_last:
            parse_cpcs_pdu(payload, crc=CrcMode.DYNAMIPS)
        elif fields.pti in _OAM_PTIS or fields.vci in _OAM_VCIS:
            OamPayload.unpack(payload)
        else:
            return False
    except ValueError:
        return False
    return True


class NamedLinks:
    """Names links by their ends' addresses, and knows for each link if its datagrams have tags."""

    def __init__(self, addresses: Mapping[Endpoint, tuple[str, str]], keys: Mapping[str, bytes | None]) -> None:
        """Take the link and node of each address, and the keys of links with a key (None for a key in a file)."""
        self._addresses = addresses
        self._keys = keys
        self._nodes: dict[str, list[str]] = {}
        for link, node in addresses.values():
            self._nodes.setdefault(link, []).append(node)

    def __call__(self, source: Endpoint, destination: Endpoint) -> tuple[str, str, str] | None:
        """Return node, link and direction, as seen by the link's first node in the table."""
        for end, sends in ((source, True), (destination, False)):
            if end in self._addresses:
                link, node = self._addresses[end]
                return self._nodes[link][0], link, "out" if (node == self._nodes[link][0]) is sends else "in"
        return None

    def tagged(self, source: Endpoint, destination: Endpoint) -> Tagged:
        """Return the tags of the datagrams from an end to another: see `Tagged`."""
        for end, sends in ((source, True), (destination, False)):
            if end in self._addresses:
                link, node = self._addresses[end]
                other = next((name for name in self._nodes[link] if name != node), "")
                direction = direction_of(node, other) if sends else direction_of(other, node)
                return Tagged(link in self._keys, self._keys.get(link), direction)
        return _UNKNOWN


def names_of(
    addresses: Mapping[Endpoint, tuple[str, str]], keys: Mapping[str, bytes | None] | None = None,
) -> NamedLinks:
    """Name links by their ends' addresses, each with its link and node; `keys` has the keys of links with tags."""
    return NamedLinks(addresses, keys or {})
