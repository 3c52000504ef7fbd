"""A UDP-emulated ATM link for Scapy; see `scapy_layers`."""

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
    """One end of a UDP-emulated ATM link, for `sniff(opened_socket=...)`, `sendp(..., socket=...)` and `sr1`.

    `recv` gives the cells one by one, however many a datagram had; datagrams of others than the peer are left out.
    `send` sends what it is given, a cell or a train, as one datagram. Raises OSError when an address cannot be had.
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
        """Send one datagram; return its size."""
        sent = self.outs.sendto(bytes(packet), self.peer)
        packet.sent_time = time.time()
        return sent

    def recv(self, _size: int = 0, **_fields: Any) -> Any:
        """Give the next cell, or None when what came was not the peer's."""
        if not self.waiting:
            octets, sender = self.ins.recvfrom(65_535)
            if sender[:2] == self.peer[:2]:
                self.waiting += self.train(octets).cells
        return self.waiting.popleft() if self.waiting else None

    @staticmethod
    def select(sockets: list[Any], remain: float | None = None) -> list[Any]:
        """Give the sockets with something to read; cells of a train that are still here count."""
        held = [one for one in sockets if getattr(one, "waiting", None)]
        return held or list(SuperSocket.select(sockets, remain))
