"""A UDP-emulated ATM link for Scapy; see `layers`."""

# Scapy has no types that mypy could read here, so its classes are Any.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import socket
import time
from collections import deque
from typing import Any

from scapy.supersocket import SuperSocket

from atmdepot.trace.scapy.trains import ATMTrain, ATMTrain_NNI


class AtmUdpSocket(SuperSocket):
    """An end of a UDP-emulated ATM link, for `sniff(opened_socket=...)`, `sendp(..., socket=...)` and `sr1`.

    `recv` gives single cells, also from a datagram of many cells; datagrams that are not from the peer are left out.
    `send` sends a cell or a train as a single datagram. Raises OSError when an address is not available.
    """

    desc = "cells over UDP"

    def __init__(self, local: tuple[str, int], peer: tuple[str, int], nni: bool = False) -> None:
        self.peer: tuple[Any, ...]
        family, _, _, _, self.peer = socket.getaddrinfo(*peer, type=socket.SOCK_DGRAM)[0]
        self.train = ATMTrain_NNI if nni else ATMTrain
        self.waiting: deque[Any] = deque()
        self.ins = self.outs = socket.socket(family, socket.SOCK_DGRAM)
        self.ins.bind(local)

    def send(self, packet: Any) -> int:
        """Send a datagram; return its size."""
        sent = self.outs.sendto(bytes(packet), self.peer)
        packet.sent_time = time.time()
        return sent

    def recv(self, _size: int = 0, **_fields: Any) -> Any:
        """Return the next cell, or None when the datagram was not the peer's."""
        if not self.waiting:
            octets, sender = self.ins.recvfrom(65_535)
            # Address and port are compared: IPv6 adds flow label and scope.
            if sender[:2] == self.peer[:2]:
                self.waiting += self.train(octets).cells
        return self.waiting.popleft() if self.waiting else None

    @staticmethod
    def select(sockets: list[Any], remain: float | None = None) -> list[Any]:
        """Return the sockets with data to read; cells of a train that wait here count."""
        held = [one for one in sockets if getattr(one, "waiting", None)]
        return held or list(SuperSocket.select(sockets, remain))
