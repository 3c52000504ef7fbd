"""A UDP-emulated link of Frame Relay: a frame without FCS in each datagram, as Dynamips has it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason
from atmdepot.net.udp_link import UdpLink

if TYPE_CHECKING:
    from atmdepot.config.units import UdpAddress
    from atmdepot.drops import Drops
    from atmdepot.net.bursts import Received, Sender

_MOST_BACKLOG = 1000


class RelayLink(UdpLink):
    """An end of such a link: the socket, the peer and the interfaces are those of a link of ATM.

    Frames have no common length, so the kernel cannot cut a burst of them: each takes a system call.
    """

    def __init__(self, name: str, local: UdpAddress, peer: UdpAddress, drops: Drops, *,
                 any_interface: bool = False) -> None:
        """Bind the link's own end; raise EnvironmentLacks when the address is not available."""
        super().__init__(name, local, peer, 1, drops, any_interface=any_interface)
        self.segment_offload = False

    def send(self, cells: bytes, now: int) -> None:
        """Send a frame."""
        if not self._knows_port:
            self.last_error = "the far end has sent nothing yet, so its port is not known"
            self.drops.count(DropReason.FRAME_NOT_SENT, 1, cells)
        elif self._backlog or not self._is_sent(cells):
            self._wait(cells)

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
        return [frame for item in received for frame in self._frames(item)]

    def _frames(self, item: Received) -> list[bytes]:
        """The frames in what was read together; none (and counted) from strangers."""
        octets, segment, overflow, sender = (item, 0, -1, None) if isinstance(item, bytes) else item
        if overflow != self._overflow_seen and overflow >= 0:
            self._note_overflow(overflow)
        size = segment or len(octets) or 1
        frames = [octets[at:at + size] for at in range(0, max(len(octets), 1), size)]
        self.rx_datagrams += len(frames)
        if sender is not None and self._is_strange(sender, len(frames), octets):
            return []
        return frames

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
