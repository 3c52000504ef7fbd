"""The watch port of a hot standby: copies of the packets that clients send to the active depot (patent, page 17).

Copies come to an interface of their own, or to the clients' interface where the LAN floods as a hub does. A packet
socket takes them before the host's own IP would, and the kernel lets through only what is for a service address. What
comes here is tracked and never forwarded: what is for this depot to forward comes by its TUN device.
"""

from __future__ import annotations

import logging
import socket
import struct
from ctypes import addressof, create_string_buffer
from typing import TYPE_CHECKING

import trio

from atmdepot.net.chores import NEVER, Chore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atmdepot.config.units import IpAddress
    from atmdepot.depot.forwarding import Depot
    from atmdepot.net.pump import Pump

log = logging.getLogger("atmdepot")

_ALL_PROTOCOLS = 0x0003  # ETH_P_ALL
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 1, 1
_SOL_PACKET_STATISTICS = 6
_OUTGOING = 4  # PACKET_OUTGOING: what this host itself sends
_PACKETS_A_BURST, _MOST_HELD = 64, 512
_MOST = 65_535 + 64
_ROOM = 4 * 1024 * 1024
_AGAIN = 1.0
_INSTRUCTION = struct.Struct("=HBBI")
# Instructions of the classic BPF (bpf(4)); offsets count from the IP header.
_LOAD_WORD, _LOAD_OCTET, _SHIFT, _EQUALS, _RETURN = 0x20, 0x30, 0x74, 0x15, 0x06
_PACKET_TYPE = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_DESTINATION = {4: 16, 6: 24}


def bpf_for(addresses: Iterable[IpAddress]) -> bytes:
    """A filter program that passes incoming packets for the addresses; 8 octets an instruction (struct sock_filter)."""
    program = [(_LOAD_WORD, 0, 0, _PACKET_TYPE), (_EQUALS, 0, 1, _OUTGOING), (_RETURN, 0, 0, 0)]
    for address in addresses:
        words = [int.from_bytes(address.packed[at:at + 4], "big") for at in range(0, len(address.packed), 4)]
        past = 2 * len(words) + 1  # instructions behind the test of the version
        program += [(_LOAD_OCTET, 0, 0, 0), (_SHIFT, 0, 0, 4), (_EQUALS, 0, past, address.version)]
        for number, word in enumerate(words):
            program.append((_LOAD_WORD, 0, 0, _DESTINATION[address.version] + 4 * number))
            program.append((_EQUALS, 0, past - 2 * (number + 1), word))
        program.append((_RETURN, 0, 0, 0x40000))
    program.append((_RETURN, 0, 0, 0))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def open_watch(interface: str, addresses: Iterable[IpAddress]) -> socket.socket:
    """A packet socket with the copies at an interface that are for the addresses; raise OSError."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)  # deaf until it is bound
    try:
        program = bpf_for(addresses)
        held = create_string_buffer(program)  # alive until the kernel has copied it
        made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER,
                        struct.pack("HL", len(program) // _INSTRUCTION.size, addressof(held)))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        made.bind((interface, _ALL_PROTOCOLS))
        made.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP,
                        struct.pack("iHH8s", socket.if_nametoindex(interface), _PROMISCUOUS, 0, b""))
    except OSError:
        made.close()
        raise
    return made


class WatchPort(Chore):
    """The job of a depot that watches; for any other depot it does nothing.

    Copies are read as they come, and tracked at the end of the pump's turn: the servers' packets to which clients
    answer have come before, on the links.
    """

    name = "the watch port"

    def __init__(self, node: Depot, pump: Pump) -> None:
        self._depot, self._pump = node, pump
        self._socket: socket.socket | None = None
        self._held: list[bytes] = []
        self._tell_gone: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Watch until cancelled; an interface that is missing, or vanishes, is tried again each second."""
        of = self._depot.network.set_of(self._depot.name)
        interface = of.watch.get(self._depot.name)
        if of.standby != "hot" or interface is None:
            return
        told = False
        self._pump.take_on(self)
        while True:
            try:
                self._socket = open_watch(interface, self._depot.network.vips)
            except OSError as error:
                if not told:
                    log.warning("the watch port %s cannot be opened: %s", interface, error.strerror or error)
                told = True
                await trio.sleep(_AGAIN)
                continue
            told = False
            await self._watch(self._socket)
            log.warning("the watch port %s is gone; it is opened again", interface)

    async def _watch(self, opened: socket.socket) -> None:
        """Have the pump read a socket until its interface is gone."""
        gone, token = trio.Event(), trio.lowlevel.current_trio_token()
        self._tell_gone = lambda: token.run_sync_soon(gone.set)
        try:
            self._pump.watch(opened.fileno(), self._ready)
            await gone.wait()
        finally:
            self._pump.let_go(opened.fileno())
            opened.close()

    def _ready(self, _: int) -> None:
        assert self._socket is not None
        held = self._held
        until = min(len(held) + _PACKETS_A_BURST, _MOST_HELD)
        try:
            while len(held) < until:
                held.append(self._socket.recv(_MOST))
        except BlockingIOError:
            pass
        except OSError:  # ENETDOWN, ENODEV: the interface went down or away
            self._pump.let_go(self._socket.fileno())
            self._tell_gone()

    def next_due(self, now: int) -> int:
        """The time (ns) at which copies are to be tracked: now, if there are any."""
        return now if self._held else NEVER

    def attend(self, now: int) -> None:
        """Track the copies."""
        packets, self._held = self._held, []
        self._depot.watch(packets, now)
        if len(packets) >= _PACKETS_A_BURST:  # so many that some may have been lost
            self._note_losses()

    def _note_losses(self) -> None:
        """Add what the kernel dropped since this was read last."""
        if self._depot.watching is not None and self._socket is not None and self._socket.fileno() >= 0:
            counts = self._socket.getsockopt(_SOL_PACKET, _SOL_PACKET_STATISTICS, 8)
            self._depot.watching.lost += struct.unpack("II", counts)[1]
