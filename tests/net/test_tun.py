"""A pipe in place of a TUN device, and errors when there is no TUN device. The real one: tests/end_to_end."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atmdepot.errors import EnvironmentLacks
from atmdepot.net import bursts, tun
from atmdepot.net.tun import SocketTun, Tun, TunGone
from tests.net.ends import Pipe, is_readable

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stand_in() -> Iterator[SocketTun]:
    made = SocketTun()
    yield made
    made.close()


def test_packets_keep_their_ends_and_their_order(stand_in: SocketTun) -> None:
    packets = [b"\x45", bytes(20), bytes(range(256)) * 255]
    for packet in packets:
        stand_in.outer.send(packet)
    assert is_readable(stand_in.fileno())
    assert stand_in.read_burst(2) == packets[:2]
    assert is_readable(stand_in.fileno())
    assert stand_in.read_burst(2) == packets[2:]
    assert stand_in.read_burst(2) == []
    assert not is_readable(stand_in.fileno())
    assert stand_in.write_burst(packets) == []
    assert [stand_in.outer.recv(70_000) for _ in packets] == packets


def test_the_greatest_packet_passes_whole(stand_in: SocketTun) -> None:
    packet = os.urandom(65_535)
    stand_in.outer.send(packet)
    assert stand_in.read_burst(1) == [packet]
    assert stand_in.write_burst([packet]) == []
    assert stand_in.outer.recv(70_000) == packet


def test_a_full_buffer_refuses(stand_in: SocketTun) -> None:
    packets = [number.to_bytes(2, "big") * 4500 for number in range(3000)]
    refused = stand_in.write_burst(packets)
    taken = len(packets) - len(refused)
    assert 100 < taken < 3000
    assert packets[taken:] == refused
    assert [stand_in.outer.recv(9000) for _ in range(taken)] == packets[:taken]
    assert stand_in.write_burst([b"again"]) == []


def test_an_end_that_is_closed_is_a_device_that_is_gone(stand_in: SocketTun) -> None:
    stand_in.outer.send(b"last")
    stand_in.outer.close()
    assert stand_in.write_burst([b"x", b"y"]) == [b"x", b"y"]
    assert stand_in.read_burst(8) == [b"last"], "what was there before is not lost"
    with pytest.raises(TunGone, match="the other end is closed") as gone:
        stand_in.read_burst(8)
    assert gone.value.errno == errno.EBADFD


def test_a_machine_without_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tun, "TUN_DEVICE", Path("/dev/no-tun"))
    with pytest.raises(EnvironmentLacks) as lacks:
        Tun("atm0")
    assert str(lacks.value) == ("/dev/no-tun: No such file or directory; run as root or in a lab, and see "
                                "`atmdepot doctor`")
    assert lacks.value.exit_code == 5


def test_something_else_in_the_devices_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tun, "TUN_DEVICE", Path("/dev/null"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(EnvironmentLacks, match=r"^TUN device atm0: .*ioctl.*; see `atmdepot doctor`$"):
        Tun("atm0")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(("number", "hint"), [
    (errno.EBUSY, "Device or resource busy; another process has it"),
    (errno.EPERM, "Operation not permitted; it takes CAP_NET_ADMIN: run as root or in a lab"),
])
def test_a_refusal_of_the_kernel_has_a_hint(monkeypatch: pytest.MonkeyPatch, number: int, hint: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tun, "TUN_DEVICE", Path("/dev/null"))
    monkeypatch.setattr(tun.fcntl, "ioctl", refuse)
    with pytest.raises(EnvironmentLacks, match=f"^TUN device atm0: {hint}$"):
        Tun("atm0")


class FakeDevice(Tun):
    """A TUN device on a descriptor that a test has."""

    def __init__(self, fd: int) -> None:
        self._fd = fd


def test_a_removed_device_is_told_from_a_refused_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel has it: a device that is removed fails with EBADFD, and what it does not want with others."""
    device = FakeDevice(-1)
    monkeypatch.setattr(bursts, "read_packets", lambda _fd, _most: ([], errno.EBADFD))
    with pytest.raises(TunGone, match=r"^.*the TUN device is gone: File descriptor in bad state$") as gone:
        device.read_burst(8)
    assert gone.value.errno == errno.EBADFD
    monkeypatch.setattr(bursts, "read_packets", lambda _fd, _most: ([b"last"], errno.EBADFD))
    assert device.read_burst(8) == [b"last"], "what was there before is not lost"
    monkeypatch.setattr(bursts, "read_packets", lambda _fd, _most: ([], 0))
    assert device.read_burst(8) == []


def test_bursts_go_to_the_devices_descriptor() -> None:
    pipe = Pipe(1 << 20)
    device = FakeDevice(pipe.near.fileno())
    assert device.write_burst([b"one", bytes(4 << 20), b"two"]) == [bytes(4 << 20)]
    assert pipe.drain() == [b"one", b"two"]
    for packet in (b"three", b"four", b"five"):
        pipe.far.send(packet)
    assert [device.read_burst(2), device.read_burst(2), device.read_burst(2)] == [[b"three", b"four"], [b"five"], []]
    pipe.close()
