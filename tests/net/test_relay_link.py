"""A link of Frame Relay on its sockets: a frame is a datagram, whatever its length, and strangers' are counted."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.config.units import UdpAddress
from atmdepot.drops import DropReason, Drops
from atmdepot.net.bursts import DatagramBursts
from atmdepot.net.relay_link import RelayLink
from atmdepot.wire.frame_relay import frames_of, train_of
from tests.net.ends import fresh, wait_readable

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pair:
    """Two ends of a link."""

    def __init__(self) -> None:
        one, other = fresh(), fresh()
        self.one = RelayLink("one", one, other, Drops())
        self.other = RelayLink("other", other, one, Drops())
        self.address = other

    def close(self) -> None:
        self.one.close()
        self.other.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def burst(link: RelayLink) -> list[bytes]:
    wait_readable(link.fileno())
    return [frame for train in link.receive_burst(16) for frame in frames_of(train)]


def test_frames_of_any_length_arrive_one_by_one(pair: Pair) -> None:
    frames = [bytes([n % 256]) * n for n in (2, 44, 53, 106, 1504, 1504, 1504, 7, 9000)]
    for frame in frames:
        pair.one.send(frame, 0)
    got: list[bytes] = []
    while len(got) < len(frames):
        got += burst(pair.other)
    assert got == frames
    assert (pair.one.tx_datagrams, pair.other.rx_datagrams) == (len(frames), len(frames))
    assert pair.one.drops == pair.other.drops == {}


def test_a_strangers_frame_is_counted(pair: Pair) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(bytes(53), (pair.address.host, pair.address.port))
        assert burst(pair.other) == []
    assert pair.other.drops == {DropReason.NOT_THE_PEER: 1}


def test_frames_wait_for_room_in_the_sockets_buffer_up_to_a_bound(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self) -> None:
            self.error = errno.EAGAIN
            self.sent: list[bytes] = []

        def send(self, octets: bytes, *_: int) -> int:
            if not self.error:
                self.sent.append(octets)
            return 0

    full = Full()
    monkeypatch.setattr(RelayLink, "_is_sent", lambda link, frame: _is_sent(link, full, frame))
    for n in range(1003):
        pair.one.send(train_of([bytes([n % 256])]), 0)
    assert pair.one.wants_write()
    assert pair.one.drops == {DropReason.FRAME_NOT_SENT: 3}
    full.error = 0
    pair.one.flush()
    assert not pair.one.wants_write()
    assert full.sent == [bytes([n % 256]) for n in range(1000)]


def _is_sent(link: RelayLink, full: object, frame: bytes) -> bool:
    full.send(frame)  # type: ignore[attr-defined]
    return not full.error  # type: ignore[attr-defined]


def test_a_frame_that_the_system_refuses_is_counted() -> None:
    link = RelayLink("x", fresh(), UdpAddress("255.255.255.255:9"), Drops())  # a broadcast takes SO_BROADCAST
    link.send(b"\x18\x41\x03\xcc", 0)
    assert link.drops == {DropReason.FRAME_NOT_SENT: 1}
    assert link.last_error
    link.close()


def test_a_train_leaves_in_one_call_and_arrives_frame_by_frame(pair: Pair) -> None:
    trains = [[bytes([n]) * 1504 for n in range(43)], [b"\x18" * 44] * 63 + [b"\x18" * 4]]
    for train in trains:
        pair.one.send(train_of(train), 0)
    got: list[bytes] = []
    while len(got) < 43 + 64:
        got += burst(pair.other)
    assert got == [frame for train in trains for frame in train]
    assert (pair.one.tx_datagrams, pair.other.rx_datagrams) == (43 + 64, 43 + 64)
    assert pair.one.drops == pair.other.drops == {}


def test_a_train_that_the_kernel_refuses_leaves_frame_by_frame(pair: Pair) -> None:
    class Refusing(DatagramBursts):
        """A socket whose device cannot cut."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.calls = inner, 0

        def send(self, octets: bytes, at: int, size: int, datagram: int) -> int:
            self.calls += 1
            self.error = errno.EIO if size > datagram else 0
            return at if self.error else self.inner.send(octets, at, size, datagram)

    refusing = Refusing(pair.one._datagrams)
    pair.one._datagrams = refusing
    frames = [bytes([n]) * 100 for n in range(5)]
    for _ in range(2):
        pair.one.send(train_of(frames), 0)
    got: list[bytes] = []
    while len(got) < 10:
        got += burst(pair.other)
    assert got == frames * 2
    assert refusing.calls == 11, "one refusal, and no further try at once"
    assert not pair.one.segment_offload
    assert pair.one.drops == {}
