"""Frames through descriptors, plainly and compiled. The device itself: tests/end_to_end/test_offload.py."""

from __future__ import annotations

import errno
import os
import select
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from atmdepot.errors import EnvironmentLacks
from atmdepot.net import frames, offload_tun, tun
from atmdepot.net.frames import MAX_FRAME, read_frames_plainly, write_frames_plainly
from atmdepot.net.offload_tun import CSUM, TSO4, TSO6, TSO_ECN, OffloadTun, open_tun
from atmdepot.net.tun import Tun, TunGone
from atmdepot.wire.offload import coalesce
from tests.ip_packets import ping
from tests.wire.frames import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Way(NamedTuple):
    """The functions under test."""

    read: Callable[[int, int, bytearray], tuple[list[bytes], list[bytes], int]]
    write: Callable[[int, list[bytes]], list[bytes]]


WAYS = {"plain": Way(read_frames_plainly, write_frames_plainly)}
if frames.read_frames is not read_frames_plainly:
    WAYS["compiled"] = Way(frames.read_frames, frames.write_frames)

both_ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
NO_OFFLOAD = bytes(10)
_TUNSETIFF, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D8
PING = ping("10.0.0.1", "10.0.0.2", b"x")
BAD = Stream().header._replace(csum_start=5).pack() + Stream().whole


class Pair(NamedTuple):
    """A descriptor in a device's place, and where its frames go to and come from."""

    inner: socket.socket
    outer: socket.socket

    def frames(self) -> list[bytes]:
        """The written octets."""
        found = []
        while select.select([self.outer], [], [], 0)[0]:
            found.append(self.outer.recv(70_000))
        return found


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair(*socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    for end in made:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
    yield made
    for end in made:
        end.close()


@both_ways
def test_waiting_frames_are_read_and_cut(way: Way, pair: Pair) -> None:
    assert way.read(pair.inner.fileno(), 100) == ([], [], 0)
    for stream in (Stream(), Stream().over_ipv6()):
        pair.outer.send(stream.frame)
        pair.outer.send(NO_OFFLOAD + PING)
    packets, malformed, error = way.read(pair.inner.fileno(), 100)
    assert packets == [*Stream().packets, PING, *Stream().over_ipv6().packets, PING]
    assert (malformed, error) == ([], 0)


@both_ways
def test_the_greatest_frame_passes_whole(way: Way, pair: Pair) -> None:
    stream = Stream(data=os.urandom(65_503)).over_ipv6()
    assert len(stream.frame) == MAX_FRAME
    pair.outer.send(stream.frame)
    assert way.read(pair.inner.fileno(), 1)[0] == stream.packets


@both_ways
def test_no_more_frames_are_read_than_are_wanted(way: Way, pair: Pair) -> None:
    for _ in range(3):
        pair.outer.send(Stream().frame)
        pair.outer.send(BAD)
    assert len(way.read(pair.inner.fileno(), 1)[0]) == 4
    packets, malformed, error = way.read(pair.inner.fileno(), 5)
    assert (len(packets), len(malformed), error) == (4, 1, 0), "the rest of the frame that makes it enough"
    packets, malformed, error = way.read(pair.inner.fileno(), 6)
    assert (len(packets), len(malformed), error) == (4, 2, 0)
    assert way.read(pair.inner.fileno(), 0) == ([], [], 0)


@both_ways
def test_malformed_frames_come_back_and_the_others_pass(way: Way, pair: Pair) -> None:
    for frame in (NO_OFFLOAD + PING, BAD, bytes(3), NO_OFFLOAD, Stream().frame):
        pair.outer.send(frame)
    assert way.read(pair.inner.fileno(), 100) == (
        [PING, *Stream().packets], [Stream().whole, b"", b""], 0)


@both_ways
def test_frames_that_only_the_plain_way_knows_are_packets_too(way: Way, pair: Pair) -> None:
    stream = Stream().over_ipv6()._replace(extensions=(60, bytes((6, 0, 1, 4)) + bytes(4)))
    pair.outer.send(stream.frame)
    assert way.read(pair.inner.fileno(), 100) == (stream.packets, [], 0)


@both_ways
def test_the_end_is_told_with_what_came_before(way: Way, pair: Pair) -> None:
    pair.outer.send(NO_OFFLOAD + PING)
    pair.outer.close()
    assert way.read(pair.inner.fileno(), 100) == ([PING], [], errno.EBADFD)


@both_ways
def test_errors_are_told(way: Way) -> None:
    assert way.read(-1, 100) == ([], [], errno.EBADF)
    with select.epoll() as without_read:
        assert way.read(without_read.fileno(), 3) == ([], [b""] * 3, 0), "a frame that cannot be told of"


@both_ways
def test_packets_that_may_be_merged_are_written_at_once(way: Way, pair: Pair) -> None:
    packets = [PING, *Stream().packets, PING, *Stream().over_ipv6().packets, b"\x45"]
    assert way.write(pair.inner.fileno(), packets) == []
    assert pair.frames() == [NO_OFFLOAD + PING, Stream().frame, NO_OFFLOAD + PING, Stream().over_ipv6().frame,
                             NO_OFFLOAD + b"\x45"]
    assert way.write(pair.inner.fileno(), []) == []


@both_ways
def test_many_small_segments_are_written(way: Way, pair: Pair) -> None:
    packets = Stream(data=bytes(20 * 1000), size=20).packets
    assert way.write(pair.inner.fileno(), packets) == []
    assert pair.frames() == [frame for frame, _ in coalesce(packets)]


@both_ways
def test_a_frame_that_is_refused_is_written_packet_by_packet(way: Way, pair: Pair) -> None:
    pair.inner.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    stream = Stream(data=bytes(40_000))
    assert way.write(pair.inner.fileno(), [PING, *stream.packets[:2], PING]) == []
    assert pair.frames() == [NO_OFFLOAD + PING, coalesce(stream.packets[:2])[0][0], NO_OFFLOAD + PING]
    refused = way.write(pair.inner.fileno(), stream.packets)
    taken = [frame[10:] for frame in pair.frames()]
    assert 0 < len(taken) < len(stream.packets)
    assert taken + refused == stream.packets


@both_ways
def test_refused_packets_come_back(way: Way) -> None:
    packets = [PING, *Stream().packets, PING]
    assert way.write(-1, packets) == packets


@pytest.mark.skipif("compiled" not in WAYS, reason="nothing is compiled here")
def test_the_compiled_way_wants_octets() -> None:
    with pytest.raises(TypeError, match="a packet is bytes"):
        frames.write_frames(-1, [bytearray(PING)])  # type: ignore[list-item]


# ── the device ──

class FakeDevice(OffloadTun):
    """A device on a descriptor that a test has."""

    def __init__(self, fd: int, *, whole: bool = False) -> None:
        self._fd, self.whole = fd, whole


def test_a_device_is_read_and_written_in_bursts(pair: Pair) -> None:
    device = FakeDevice(pair.inner.fileno())
    pair.outer.send(Stream().frame)
    pair.outer.send(BAD)
    assert device.read_burst(100) == Stream().packets
    assert device.malformed == [Stream().whole]
    assert device.read_burst(100) == []
    assert device.malformed == []
    assert device.write_burst(Stream().packets) == []
    assert pair.frames() == [Stream().frame]


@pytest.mark.skipif("compiled" not in WAYS, reason="nothing is compiled here")
def test_a_device_keeps_frames_whole(pair: Pair) -> None:
    device = FakeDevice(pair.inner.fileno(), whole=True)
    for frame in (NO_OFFLOAD + PING, Stream().frame, NO_OFFLOAD + PING):
        pair.outer.send(frame)
    first, whole, last = device.read_burst(100)
    assert (first, last) == (PING, PING)
    assert not isinstance(whole, bytes)
    assert whole.packets() == Stream().packets
    assert device.write_burst([first, whole, last]) == []
    assert pair.frames() == [NO_OFFLOAD + PING, Stream().frame, NO_OFFLOAD + PING]


@pytest.mark.skipif("compiled" not in WAYS, reason="nothing is compiled here")
def test_a_refused_frame_comes_back_as_packets(pair: Pair) -> None:
    pair.outer.send(Stream().frame)
    (whole,) = FakeDevice(pair.inner.fileno(), whole=True).read_burst(100)
    assert FakeDevice(-1, whole=True).write_burst([PING, whole, PING]) == [PING, *Stream().packets, PING]


def test_a_closed_device_writes_to_no_other_descriptor() -> None:
    mine, other = os.pipe()
    os.close(mine)
    device = FakeDevice(other)
    device.close()
    after = os.pipe()  # the kernel gives the lowest free numbers, so one is the device's
    try:
        assert other in after
        assert device.write_burst([PING]) == [PING]
        device.close()
        os.fstat(other)  # a second close leaves it alone
    finally:
        for descriptor in after:
            os.close(descriptor)


def test_a_device_that_is_gone(pair: Pair) -> None:
    device = FakeDevice(pair.inner.fileno())
    pair.outer.send(BAD)
    pair.outer.close()
    assert device.read_burst(100) == []
    assert device.malformed == [Stream().whole], "what came before is not lost"
    with pytest.raises(TunGone, match="the TUN device is gone: File descriptor in bad state"):
        device.read_burst(100)
    assert device.write_burst([PING]) == [PING]


def test_a_machine_without_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tun, "TUN_DEVICE", Path("/dev/no-tun"))
    with pytest.raises(EnvironmentLacks) as lacks:
        OffloadTun("atm0")
    assert str(lacks.value) == ("/dev/no-tun: No such file or directory; run as root or in a lab, and see "
                                "`atmdepot doctor`")


@pytest.mark.parametrize("refused", [_TUNSETIFF, _TUNSETVNETHDRSZ])
@pytest.mark.parametrize(("number", "hint"), [
    (errno.EBUSY, "Device or resource busy; another process has it"),
    (errno.EPERM, "Operation not permitted; it takes CAP_NET_ADMIN: run as root or in a lab"),
    (errno.EINVAL, "Invalid argument; see `atmdepot doctor`"),
])
def test_a_refusal_of_the_kernel_has_a_hint(
    monkeypatch: pytest.MonkeyPatch, refused: int, number: int, hint: str,
) -> None:
    def refuse(_: int, request: int, _argument: object) -> None:
        if request == refused:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tun, "TUN_DEVICE", Path("/dev/null"))
    monkeypatch.setattr(tun.fcntl, "ioctl", refuse)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(EnvironmentLacks, match=f"^TUN device atm0: {hint}$"):
        OffloadTun("atm0")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(("knows", "gives"), [
    (CSUM | TSO4 | TSO6 | TSO_ECN, CSUM | TSO4 | TSO6 | TSO_ECN), (CSUM | TSO4 | TSO6, CSUM | TSO4 | TSO6),
    (CSUM, CSUM), (0, 0), (None, 0)])
def test_an_old_kernel_leaves_us_less(monkeypatch: pytest.MonkeyPatch, knows: int | None, gives: int) -> None:
    def ioctl(_: int, request: int, argument: object) -> None:
        if isinstance(argument, int) and (knows is None or argument & ~knows):
            raise OSError(errno.EINVAL, "")

    monkeypatch.setattr(tun, "TUN_DEVICE", Path("/dev/null"))
    monkeypatch.setattr(tun.fcntl, "ioctl", ioctl)
    device = OffloadTun("atm0")
    device.close()
    assert device.offloads == gives


@pytest.mark.parametrize("is_compiled", [True, False])
def test_plain_python_leaves_cutting_to_the_kernel(monkeypatch: pytest.MonkeyPatch, is_compiled: bool) -> None:
    monkeypatch.setattr(tun, "TUN_DEVICE", Path("/dev/null"))
    monkeypatch.setattr(tun.fcntl, "ioctl", lambda *_: None)
    monkeypatch.setattr(offload_tun, "cut", object() if is_compiled else offload_tun.cut_plainly)
    device = open_tun("atm0")
    device.close()
    assert type(device) is (OffloadTun if is_compiled else Tun)
