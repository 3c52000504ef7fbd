"""A UDP-emulated link of Frame Relay: a frame without FCS in each datagram, as Dynamips has it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason
from atmdepot.net.udp_link import NO_OFFLOAD, UdpLink
from atmdepot.wire.frame_relay import TRAIN_HEADER, frames_of, size_in, train_in, train_of

if TYPE_CHECKING:
    from atmdepot.config.units import UdpAddress
    from atmdepot.drops import Drops
    from atmdepot.net.bursts import Received, Sender

_MOST_BACKLOG = 1000


class RelayLink(UdpLink):
    """An end of such a link: the socket, the peer and the interfaces are those of a link of ATM.

    Frames of one size leave in a single system call, which the kernel cuts (UDP_SEGMENT), and come in one (UDP_GRO).
    """

    def __init__(self, name: str, local: UdpAddress, peer: UdpAddress, drops: Drops, *,
                 any_interface: bool = False) -> None:
        """Bind the link's own end; raise EnvironmentLacks when the address is not available."""
        super().__init__(name, local, peer, 1, drops, any_interface=any_interface)

    def send(self, cells: bytes, now: int) -> None:
        """Send a train of frames (`train_of`)."""
        frames = frames_of(cells)
        if not self._knows_port:
            self.last_error = "the far end has sent nothing yet, so its port is not known"
            self.drops.count(DropReason.FRAME_NOT_SENT, len(frames), frames[0])
            return
        self._now = now
        if not self.segment_offload and now >= self._segment_at and len(frames) > 1:
            self.segment_offload = self._on_trial = True
        sent = self._send_together(cells, len(frames)) if len(frames) > 1 and not self._backlog else 0
        for frame in frames[sent:]:
            if self._backlog or not self._is_sent(frame):
                self._wait(frame)

    def _send_together(self, train: bytes, count: int) -> int:
        """Send a train in a system call; return the number of its frames that have left: all, or none."""
        if not self.segment_offload:
            return 0
        self._datagrams.send(train, TRAIN_HEADER, len(train), size_in(train))
        error = self._datagrams.error
        if not error:
            self.tx_datagrams += count
            if self._on_trial:
                self._segments_again()
        elif error in NO_OFFLOAD:
            self._segments_no_more(error)
        return 0 if error else count

    def _wait(self, frame: bytes) -> None:
        if len(self._backlog) >= _MOST_BACKLOG:
            self.drops.count(DropReason.FRAME_NOT_SENT, 1, frame)
        else:
            self._backlog.append(frame)

    def _is_sent(self, frame: bytes) -> bool:
        """Send a frame; False when the socket's buffer is full. A frame that the system refuses is counted."""
        self._datagrams.send(frame, 0, len(frame), 0xFFFF)
        error = self._datagrams.error
        if error == errno.EAGAIN:
            return False
        self.tx_datagrams += not error
        if error:
            self.last_error = os.strerror(error)
            self.drops.count(DropReason.FRAME_NOT_SENT, 1, frame)
        return True

    def wants_write(self) -> bool:
        """True while frames wait for room in the socket's buffer."""
        return bool(self._backlog)

    def flush(self) -> None:
        """Send the frames that wait, as far as there is room."""
        while self._backlog and self._is_sent(self._backlog[0]):
            self._backlog.popleft()

    def receive_burst(self, most: int) -> list[bytes]:
        """The frames of the peer that wait, from at most `most` reads."""
        received = self._datagrams.receive(most)
        if self._datagrams.error:
            self.last_error = os.strerror(self._datagrams.error)
        return [train for item in received if (train := self._train_in(item)) is not None]

    def _train_in(self, item: Received) -> bytes | None:
        """The frames in what was read together, as a train; None (and counted) from strangers."""
        octets, segment, overflow, sender = (item, 0, -1, None) if isinstance(item, bytes) else item
        if overflow != self._overflow_seen and overflow >= 0:
            self._note_overflow(overflow)
        size = segment or len(octets) or 1
        count = max(1, -(-len(octets) // size))
        self.rx_datagrams += count
        if sender is not None and self._is_strange(sender, count, octets):
            return None
        return train_of([octets]) if count == 1 else train_in(octets, size)

    def _is_strange(self, sender: Sender, datagrams: int, octets: bytes) -> bool:
        """True, and counted, for a sender that is not the peer; the peer's port may have changed."""
        reason = self._refuses(sender)
        if reason is not None:
            self.drops.count(reason, datagrams, octets)
        else:
            self._answer_on_port(sender[:2])
        return reason is not None

    def _compare_interface(self) -> None:
        """Have `receive` report every datagram with its length."""
        self._datagrams.interface = -1
