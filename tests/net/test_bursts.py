"""Bursts of packets and of datagrams: the plain Python and the compiled, each by the same tests."""

from __future__ import annotations

import errno
import os
import pty
import select
import signal
import socket
import sys
import tty
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot import build
from atmdepot.net import bursts
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.frame_records import LENGTH_SIZE
from tests.net.ends import (
    PATIENCE,
    UDP_GRO,
    Ends,
    Pipe,
    Plain,
    fresh,
    fresh6,
    is_readable,
    pair_of,
    scripted_bursts,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SO_NO_CHECK, _SO_RXQ_OVFL, _UDP_NO_CHECK6_TX, _UDP_NO_CHECK6_RX = 11, 40, 101, 102
NOBODY = "127.0.0.1", 9
pytestmark = pytest.mark.both_twins

PLAIN = SimpleNamespace(
    read_packets=bursts._read_packets, write_packets=bursts._write_packets, Datagrams=bursts._Datagrams,
    Poller=bursts._Poller, FrameBursts=bursts._FrameBursts)
COMPILED = pytest.param(bursts, id="compiled", marks=() if build.is_compiled() else pytest.mark.skip("not compiled"))


@pytest.fixture(params=[pytest.param(PLAIN, id="plain"), COMPILED])
def twin(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_which_twin_is_taken() -> None:
    taken = {"atmdepot.net._bursts" if build.is_compiled() else "atmdepot.net.bursts"}
    twins = (bursts.read_packets, bursts.write_packets, bursts.Datagrams, bursts.Poller, bursts.FrameBursts)
    assert {one.__module__ for one in twins} == taken
    assert ("atmdepot.net._bursts" in sys.modules) is build.is_compiled()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(1 << 20)
    yield made
    made.close()


# Waiting.


@pytest.fixture
def poller(twin: Any) -> Iterator[Any]:
    made = twin.Poller()
    yield made
    made.close()


def ready(poller: Any, wait: float, spin: int) -> list[tuple[int, int]]:
    """The result of a poll: descriptors and their events."""
    return [(poller.descriptor(number), poller.events(number)) for number in range(poller.poll(wait, spin))]


@pytest.mark.parametrize("spin", [0, 1, 10**6])
def test_ready_descriptors_are_told_with_their_events(poller: Any, pipe: Pipe, spin: int) -> None:
    near = pipe.near.fileno()
    poller.watch(near, select.EPOLLIN)
    assert ready(poller, 0.0, spin) == []
    assert not is_readable(poller.fileno())
    pipe.far.send(b"x")
    assert is_readable(poller.fileno())
    assert ready(poller, PATIENCE, spin) == [(near, select.EPOLLIN)]
    poller.watch(near, select.EPOLLIN | select.EPOLLOUT)
    assert ready(poller, PATIENCE, spin) == [(near, select.EPOLLIN | select.EPOLLOUT)]
    poller.watch(near, select.EPOLLOUT)
    assert ready(poller, PATIENCE, spin) == [(near, select.EPOLLOUT)]


def test_many_that_are_ready_are_all_told(poller: Any) -> None:
    pipes = [Pipe(1 << 16) for _ in range(40)]
    for pipe in pipes:
        poller.watch(pipe.near.fileno(), select.EPOLLIN)
        pipe.far.send(b"x")
    told: set[int] = set()
    for _ in range(4):
        told |= {descriptor for descriptor, _ in ready(poller, 0.0, 0)}
    assert told == {pipe.near.fileno() for pipe in pipes}
    for pipe in pipes:
        pipe.close()


def test_who_spins_hears_at_once_and_who_has_spun_sleeps(poller: Any, pipe: Pipe) -> None:
    """With a wait for ever behind it, only what becomes ready ends the spin; with none, the spin's own end does."""
    near = pipe.near.fileno()
    poller.watch(near, select.EPOLLIN)
    assert ready(poller, 0.0, 10**7) == []

    def write(*_: object) -> None:
        pipe.far.send(b"x")

    before = signal.signal(signal.SIGALRM, write)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while not (found := ready(poller, PATIENCE, 10**6)):
            pass  # the signal itself may end a wait
        assert found == [(near, select.EPOLLIN)]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_who_gave_the_processor_away_for_a_slice_does_not_spin_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, yields, taken = 10**10, 0, 0

    def give_way() -> None:
        nonlocal now, yields
        now, yields = now + taken, yields + 1

    monkeypatch.setattr(bursts.time, "monotonic_ns", lambda: now)
    monkeypatch.setattr(bursts.os, "sched_yield", give_way)
    poller = bursts._Poller()
    slow, ms = 2_000_000, 1_000_000
    # The system itself takes a slice now and then.
    steps = [(1000, 0, 100), (slow, 0, 1), (1000, ms, 100), (slow, 20 * ms, 1), (1000, ms, 100)]
    # Two that follow one another are somebody's.
    steps += [(slow, 900 * ms, 1), (slow, 19 * ms, 1), (1000, 99 * ms, 0), (1000, ms, 100)]
    # Soon again and again: for 0.2 s, 0.4, 0.8, and then for a second.
    for calm in (200, 400, 800, 1000, 1000):
        steps += [(slow, 900 * ms, 1), (1000, (calm - 1) * ms, 0), (1000, ms, 100)]
    # Once it has gone well for a second, it is an exception again.
    steps += [(slow, 1000 * ms, 1), (1000, ms, 100), (slow, ms, 1), (1000, 99 * ms, 0), (1000, ms, 100)]
    for each, later, expected in steps:
        now, yields, taken = now + later, 0, each
        assert ready(poller, 0.0, 100_000) == []
        assert yields == expected
    poller.close()


def test_an_exception_of_a_signal_handler_comes_out(poller: Any) -> None:
    class Stopped(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Stopped):
            poller.poll(PATIENCE, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_descriptor_that_cannot_be_watched_is_refused(poller: Any, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        poller.watch(1_000_000, select.EPOLLIN)
    with (tmp_path / "file").open("w") as file, pytest.raises(PermissionError):
        poller.watch(file.fileno(), select.EPOLLIN)
    poller.close()
    with pytest.raises((OSError, ValueError)):
        poller.poll(0.0, 0)


# Packets.


@pytest.mark.parametrize("most", [1, 16, 17, 40, 50])
def test_packets_come_in_order_and_within_the_bound(twin: Any, pipe: Pipe, most: int) -> None:
    packets = [bytes([number]) * (1 + number * 37) for number in range(40)]
    for packet in packets:
        pipe.far.send(packet)
    for at in range(0, 40, most):
        assert twin.read_packets(pipe.near.fileno(), most) == (packets[at:at + most], 0)
    assert twin.read_packets(pipe.near.fileno(), most) == ([], 0)


def test_a_burst_of_none(twin: Any, pipe: Pipe) -> None:
    pipe.far.send(b"waits")
    assert twin.read_packets(pipe.near.fileno(), 0) == ([], 0)
    assert twin.write_packets(pipe.near.fileno(), []) == []
    assert twin.read_packets(pipe.near.fileno(), 1) == ([b"waits"], 0)


def test_packets_are_the_callers_own(twin: Any, pipe: Pipe) -> None:
    """The next read does not write over them."""
    pipe.far.send(b"first")
    before = twin.read_packets(pipe.near.fileno(), 1)
    pipe.far.send(b"other")
    assert twin.read_packets(pipe.near.fileno(), 1) == ([b"other"], 0)
    assert before == ([b"first"], 0)


@pytest.mark.parametrize("size", [1, 65_535, 65_535 + 64])
def test_the_greatest_packets_pass_whole(twin: Any, pipe: Pipe, size: int) -> None:
    packet = os.urandom(size)
    pipe.far.send(packet)
    assert twin.read_packets(pipe.near.fileno(), 2) == ([packet], 0)
    assert twin.write_packets(pipe.near.fileno(), [packet]) == []
    assert pipe.drain() == [packet]


def test_an_empty_read_is_the_end_after_what_was_there(twin: Any, pipe: Pipe) -> None:
    for packet in (b"one", b"two"):
        pipe.far.send(packet)
    pipe.far.close()
    near = pipe.near.fileno()
    assert twin.read_packets(near, 1) == ([b"one"], 0)
    assert twin.read_packets(near, 8) == ([b"two"], errno.EBADFD)
    assert twin.read_packets(near, 8) == ([], errno.EBADFD)


def test_an_error_comes_with_the_packets_before_it(twin: Any) -> None:
    """A terminal's input can be read, and then it fails, since its other end is closed."""
    near, far = pty.openpty()
    tty.setraw(far)
    os.write(far, b"one")
    os.close(far)
    os.set_blocking(near, False)
    assert twin.read_packets(near, 8) == ([b"one"], errno.EIO)
    assert twin.read_packets(near, 8) == ([], errno.EIO)
    os.close(near)


@pytest.mark.parametrize(("path", "number"), [("/", errno.EISDIR), ("", errno.EBADF)])
def test_an_error_without_a_packet(twin: Any, path: str, number: int) -> None:
    descriptor = os.open(path, os.O_RDONLY) if path else -1
    assert twin.read_packets(descriptor, 8) == ([], number)
    assert twin.write_packets(descriptor, [b"one", b"two"]) == [b"one", b"two"]
    if path:
        os.close(descriptor)


def test_refused_packets_come_back_and_the_others_pass(twin: Any, pipe: Pipe) -> None:
    packets = [b"one", bytes(4 << 20), b"two", b"", bytes(5 << 20), b"three"]
    assert twin.write_packets(pipe.near.fileno(), packets) == [packets[1], packets[4]]
    assert pipe.drain() == [b"one", b"two", b"", b"three"]


def test_packets_without_room_come_back(twin: Any) -> None:
    pipe = Pipe(10_000)
    packets = [bytes([number]) * 900 for number in range(200)]
    refused = twin.write_packets(pipe.near.fileno(), packets)
    taken = len(packets) - len(refused)
    assert 5 < taken < 150
    assert refused == packets[taken:]
    assert pipe.drain() == packets[:taken]
    assert twin.write_packets(pipe.near.fileno(), refused[:2]) == []
    pipe.close()


@pytest.mark.skipif(not build.is_compiled(), reason="not compiled")
@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=12), st.integers(0, 14))
def test_both_read_and_write_the_same(packets: list[bytes], most: int) -> None:
    one, other = Pipe(1 << 20), Pipe(1 << 20)
    assert PLAIN.write_packets(one.far.fileno(), packets) == bursts.write_packets(other.far.fileno(), packets) == []
    got = PLAIN.read_packets(one.near.fileno(), most)
    assert got == bursts.read_packets(other.near.fileno(), most) == (packets[:most], 0)
    assert one.drain() == other.drain() == []
    for pipe in (one, other):
        pipe.close()


# Datagrams: in.


def received_by(datagrams: Any, most: int) -> tuple[list[Any], int]:
    """Receive; return the datagrams, and the errno of the last failed read or 0."""
    return datagrams.receive(most), datagrams.error


def sent_by(datagrams: Any, cells: bytes, at: int, size: int, datagram: int) -> tuple[int, int]:
    """Send; return the offset that was reached, and the errno that stopped it or 0."""
    return datagrams.send(cells, at, size, datagram), datagrams.error


class Here:
    """A socket with bursts, and a plain one as its peer."""

    def __init__(self, make: Callable[..., Any], ends: Ends, version: int = 4) -> None:
        local, far = (fresh(), fresh()) if version == 4 else (fresh6(), fresh6())
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._ends = ends
        self.local = local
        self.peer: Plain = ends.plain(far, local)
        self.socket: socket.socket = ends.keep(socket.socket(family, socket.SOCK_DGRAM))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
        self.socket.bind(pair_of(local))
        # As `getaddrinfo` has it: of IPv6, with flow label and scope.
        self.datagrams = make(self.socket.fileno(), family, self.peer.socket.getsockname())

    def join(self) -> None:
        self.socket.setsockopt(socket.SOL_UDP, UDP_GRO, 1)

    def stranger(self, host: str = "") -> tuple[Plain, tuple[str, int]]:
        """Somebody else's socket, and its address."""
        made: Plain = self._ends.plain(fresh6() if ":" in self.local.host else fresh(), self.local)
        return made, made.socket.getsockname()[:2]


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def here(request: pytest.FixtureRequest, twin: Any, ends: Ends) -> Here:
    return Here(twin.Datagrams, ends, request.param)


def own(*datagrams: bytes) -> list[Any]:
    """The items received of the peer's datagrams, one by one."""
    return [joined(datagram, len(datagram)) for datagram in datagrams]


def joined(octets: bytes, size: int) -> Any:
    """The items received of the peer's joined datagrams of a size: only the octets, if all are whole cells."""
    all_whole = octets and len(octets) % CELL_SIZE == 0 and size % CELL_SIZE == 0
    return octets if all_whole else (octets, size, -1, None)


@pytest.mark.parametrize("most", [1, 15, 16, 17, 32, 33, 40, 50])
def test_datagrams_come_in_order_and_within_the_bound(here: Here, most: int) -> None:
    sent = [bytes([number]) * (number * 53 % 700) for number in range(40)]
    here.peer.send(*sent)
    for at in range(0, 40, most):
        assert received_by(here.datagrams, most) == (own(*sent[at:at + most]), 0)
        assert here.datagrams.joined == sum(type(item) is bytes for item in own(*sent[at:at + most]))
    assert received_by(here.datagrams, most) == ([], 0)


def test_a_burst_of_no_datagrams(here: Here) -> None:
    here.peer.send(b"waits")
    assert received_by(here.datagrams, 0) == ([], 0)
    assert received_by(here.datagrams, 1) == (own(b"waits"), 0)


def test_datagrams_are_the_callers_own(here: Here) -> None:
    here.peer.send(b"first")
    before, _ = received_by(here.datagrams, 16)
    here.peer.send(b"other")
    assert received_by(here.datagrams, 16) == (own(b"other"), 0)
    assert before == own(b"first")


@pytest.mark.parametrize("size", [0, 1, 1431, 65_507])
def test_datagrams_of_any_size_pass_whole(here: Here, size: int) -> None:
    datagram = os.urandom(size)
    here.peer.send(datagram, b"next")
    assert received_by(here.datagrams, 16) == (own(datagram, b"next"), 0)


@pytest.mark.parametrize(("octets", "size"), [
    (1000, 100), (1001, 100), (6400, 100), (120, 100), (64, 1), (530, 53), (530, 106), (583, 106), (600, 53), (53, 1)])
def test_joined_datagrams_come_with_their_size(here: Here, octets: int, size: int) -> None:
    here.join()
    sent = os.urandom(octets)
    here.peer.send(b"before")
    here.peer.send_joined(sent, size)
    here.peer.send(b"after")
    assert received_by(here.datagrams, 16) == ([*own(b"before"), joined(sent, size), *own(b"after")], 0)
    assert here.datagrams.joined == (-(-octets // size) if type(joined(sent, size)) is bytes else 0)


def test_joined_datagrams_are_one_of_the_burst(here: Here) -> None:
    here.join()
    for _ in range(20):
        here.peer.send_joined(bytes(6400), 100)
    for most, there in ((17, 17), (17, 3), (17, 0)):
        assert received_by(here.datagrams, most) == ([(bytes(6400), 100, -1, None)] * there, 0)


def test_a_socket_tells_what_it_has_lost(here: Here) -> None:
    here.socket.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    here.peer.send(b"x")
    assert here.datagrams.receive(16)[0][2] in (-1, 0)  # nothing; whether that is told is the kernel's choice
    here.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    lost_before = 0
    for _ in range(2):
        lost = 500 - len(_drain(here))
        here.peer.send(b"x")
        [(_, _, told, _)], _ = received_by(here.datagrams, 16)
        assert 0 < lost < 500
        assert told == lost_before + lost
        lost_before = told


def _drain(here: Here) -> list[Any]:
    """The rest of 500 datagrams."""
    here.peer.send(*[b"x"] * 500)
    got = []
    while received := here.datagrams.receive(16):
        got += received
    return got


def test_joined_datagrams_and_a_loss_are_told_at_once(here: Here) -> None:
    """Two control messages with one datagram."""
    here.join()
    here.socket.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    here.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    lost = 500 - len(_drain(here))
    here.peer.send_joined(bytes(300), 100)
    assert received_by(here.datagrams, 16) == ([(bytes(300), 100, lost, None)], 0)


def test_strangers_are_told_from_the_peer(here: Here) -> None:
    stranger, address = here.stranger()
    other, at = here.stranger()
    stranger.send(b"1")
    here.peer.send(b"2")
    other.send(b"3")
    stranger.send(b"4")
    here.peer.send(b"5")
    assert here.datagrams.receive(16) == [
        (b"1", 1, -1, address), (b"2", 1, -1, None), (b"3", 1, -1, at), (b"4", 1, -1, address), (b"5", 1, -1, None)]


def test_a_stranger_may_have_the_peers_host_or_its_port(twin: Any, ends: Ends) -> None:
    here = Here(twin.Datagrams, ends)
    host, port = here.peer.socket.getsockname()
    for address in ((host, port + 1), (fresh().host, port)):
        one: socket.socket = ends.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        one.bind(address)
        one.sendto(b"x", pair_of(here.local))
        assert received_by(here.datagrams, 16) == ([(b"x", 1, -1, address)], 0)


def test_the_peer_can_be_another_from_now_on(here: Here) -> None:
    new, address = here.stranger()
    old = here.peer.socket.getsockname()[:2]
    here.peer.send(b"1")
    new.send(b"2")
    assert here.datagrams.receive(16) == [(b"1", 1, -1, None), (b"2", 1, -1, address)]
    here.datagrams.answer(address)
    assert here.datagrams.peer == address
    here.peer.send(b"3")
    new.send(b"4")
    assert here.datagrams.receive(16) == [(b"3", 1, -1, old), (b"4", 1, -1, None)]
    assert sent_by(here.datagrams, b"back", 0, 4, 4) == (4, 0)
    assert new.receive(1) == [b"back"]
    assert not is_readable(here.peer.socket.fileno())
    here.datagrams.answer(old)
    here.peer.send(b"5")
    new.send(b"6")
    assert here.datagrams.receive(16) == [(b"5", 1, -1, None), (b"6", 1, -1, address)]


def test_ipv4_in_a_socket_of_ipv6_has_its_mapped_address(twin: Any, ends: Ends) -> None:
    here: socket.socket = ends.keep(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    here.setblocking(False)
    here.bind(("::", 0))
    peer: socket.socket = ends.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    peer.bind(pair_of(fresh()))
    address = f"::ffff:{peer.getsockname()[0]}", peer.getsockname()[1]
    datagrams = twin.Datagrams(here.fileno(), socket.AF_INET6, address)
    for octets in (b"1", b"2"):
        peer.sendto(octets, ("127.0.0.1", here.getsockname()[1]))
        assert received_by(datagrams, 16) == ([(octets, 1, -1, None)], 0)


def test_an_icmp_error_is_told_once(here: Here) -> None:
    address = here.peer.socket.getsockname()
    here.socket.connect(address)  # so that the kernel tells it
    here.peer.close()
    assert sent_by(here.datagrams, b"nobody", 0, 6, 6) == (6, 0)
    assert received_by(here.datagrams, 16) == ([], errno.ECONNREFUSED)
    assert received_by(here.datagrams, 16) == ([], 0)


def test_after_an_error_the_burst_goes_on(here: Here) -> None:
    address = here.peer.socket.getsockname()
    here.socket.connect(address)
    here.peer.send(b"1", b"2")
    here.peer.close()
    here.datagrams.send(b"nobody", 0, 6, 6)
    assert received_by(here.datagrams, 16) == (own(b"1", b"2"), errno.ECONNREFUSED)
    assert received_by(here.datagrams, 16) == ([], 0)


def test_an_error_counts_as_a_read(here: Here) -> None:
    here.socket.connect(here.peer.socket.getsockname())
    here.peer.send(b"1", b"2")
    here.peer.close()
    here.datagrams.send(b"nobody", 0, 6, 6)
    assert received_by(here.datagrams, 1) == ([], errno.ECONNREFUSED)
    assert received_by(here.datagrams, 1) == (own(b"1"), 0)


def test_a_socket_that_always_fails_is_not_asked_for_ever(twin: Any) -> None:
    gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams = twin.Datagrams(gone.fileno(), socket.AF_INET, NOBODY)
    gone.close()
    assert received_by(datagrams, 100) == ([], errno.EBADF)
    assert sent_by(datagrams, b"x" * 10, 0, 5, 5) == (0, errno.EBADF)


def test_in_the_middle_of_a_burst_errors_are_passed_over(ends: Ends) -> None:
    """The kernel does not tell where it puts an error between two datagrams; the plain bursts can be told."""
    here = Here(bursts._Datagrams, ends)
    script = scripted_bursts(here.datagrams)
    answers = iter([None, OSError(errno.EHOSTUNREACH, ""), None, OSError(errno.ECONNREFUSED, ""), None])
    script.refuse = lambda _call, _octets: next(answers, None)
    here.peer.send(b"1", b"2", b"3")
    assert received_by(here.datagrams, 5) == (own(b"1", b"2", b"3"), errno.ECONNREFUSED)
    assert len(script.calls) == 5


# Datagrams: out.


@pytest.mark.parametrize(("octets", "size", "datagram"), [
    (53, 53, 53), (530, 53, 53), (530, 530, 53), (530, 106, 53), (530, 212, 53), (531, 106, 53), (530 + 1, 530, 53),
    (64 * 53 * 3, 64 * 53, 53), (1431 * 3 + 5, 1431 * 45, 1431), (65_455, 65_455, 65_455), (130_000, 64_395, 1431),
    (7, 100, 53), (0, 100, 53)])
def test_octets_are_cut_into_datagrams(here: Here, octets: int, size: int, datagram: int) -> None:
    sent = os.urandom(octets)
    assert sent_by(here.datagrams, sent, 0, size, datagram) == (octets, 0)
    chunks = [split(chunk, datagram) for chunk in split(sent, size)]
    assert here.peer.receive(sum(map(len, chunks))) == [one for chunk in chunks for one in chunk]


@pytest.mark.parametrize("at", [0, 53, 500, 529, 530, 600])
def test_sending_begins_where_it_is_told(here: Here, at: int) -> None:
    sent = os.urandom(530)
    assert sent_by(here.datagrams, sent, at, 212, 53) == (max(at, 530), 0)
    chunks = [split(chunk, 53) for chunk in split(sent[at:], 212)]
    assert b"".join(here.peer.receive(sum(map(len, chunks)))) == sent[at:]


def test_datagrams_that_the_kernel_cuts_are_one_call(here: Here) -> None:
    """A peer that wants them joined gets as one what was sent at once; what was sent apart comes apart."""
    sent = os.urandom(64 * 53)
    here.peer.socket.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
    here.datagrams.send(sent, 0, 32 * 53, 53)
    assert here.peer.receive(2) == [sent[:32 * 53], sent[32 * 53:]]
    here.datagrams.send(sent[:212], 0, 53, 53)
    assert here.peer.receive(4) == split(sent[:212])


def test_a_kernel_that_refuses_to_cut_sends_nothing(here: Here) -> None:
    if here.socket.family == socket.AF_INET:  # what has no checksum is not cut
        here.socket.setsockopt(socket.SOL_SOCKET, _SO_NO_CHECK, 1)
    else:
        here.socket.setsockopt(socket.SOL_UDP, _UDP_NO_CHECK6_TX, 1)
        here.peer.socket.setsockopt(socket.SOL_UDP, _UDP_NO_CHECK6_RX, 1)
    assert sent_by(here.datagrams, bytes(530), 0, 212, 53) == (0, errno.EINVAL)
    assert sent_by(here.datagrams, bytes(53), 0, 212, 53) == (53, 0)
    assert sent_by(here.datagrams, bytes(530), 0, 53, 53) == (530, 0), "datagrams of their own need no cutting"
    assert here.peer.receive(11) == [bytes(53)] * 11


def test_too_many_segments_are_refused(here: Here) -> None:
    assert sent_by(here.datagrams, bytes(1000), 0, 1000, 1) == (0, errno.EINVAL)


def test_a_datagram_that_is_too_big_is_refused(here: Here) -> None:
    most = 65_507 if here.socket.family == socket.AF_INET else 65_527
    for octets in (most + 1, 65_535, 100_000):
        assert sent_by(here.datagrams, bytes(octets), 0, octets, 65_535) == (0, errno.EMSGSIZE)
    assert sent_by(here.datagrams, bytes(most), 0, most, 65_535) == (most, 0)
    assert here.peer.receive(1) == [bytes(most)]
    assert sent_by(here.datagrams, bytes(60_000 + 70_000), 60_000, 70_000, 65_535) == (60_000, errno.EMSGSIZE)


def test_a_pending_error_is_an_errno_of_the_send(here: Here) -> None:
    here.socket.connect(here.peer.socket.getsockname())
    here.peer.close()
    assert sent_by(here.datagrams, bytes(159), 0, 53, 53) == (53, errno.ECONNREFUSED)


def test_a_full_buffer_is_eagain_after_what_had_room(twin: Any) -> None:
    pipe = Pipe(10_000)
    datagrams = twin.Datagrams(pipe.near.fileno(), socket.AF_INET, NOBODY)
    sent = os.urandom(100_000)
    at, got = 0, []
    for _ in range(100):
        before = at
        at, error = sent_by(datagrams, sent, at, 530, 530)
        assert at == len(sent) or at % 530 == 0
        if not error:
            break
        assert error == errno.EAGAIN
        assert at > before
        received = pipe.drain(3)
        assert [len(one) for one in received] == [530] * 3
        got += received
    assert b"".join(got + pipe.drain()) == sent
    assert len(got) > 20
    pipe.close()


def test_an_error_in_the_middle_of_a_send(twin: Any) -> None:
    """The rest is too big for the buffer once the first chunk has gone."""
    pipe = Pipe(10_000)
    datagrams = twin.Datagrams(pipe.near.fileno(), socket.AF_INET, NOBODY)
    sent = os.urandom(53 + 100_000)
    assert sent_by(datagrams, sent, 0, 53, 53)[1] == errno.EAGAIN
    pipe.drain()
    assert sent_by(datagrams, sent, 53, 100_000, 65_535) == (53, errno.EMSGSIZE)
    pipe.far.close()
    assert sent_by(datagrams, sent, 53, 53, 53) == (53, errno.EPIPE)
    pipe.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOBUFS, errno.EAGAIN])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_any_error_ends_a_send(ends: Ends, number: int, after: int) -> None:
    """As a device says it: the plain bursts are told so."""
    here = Here(bursts._Datagrams, ends)
    script = scripted_bursts(here.datagrams)
    answers = iter([*[None] * after, OSError(number, "")])
    script.refuse = lambda _call, _octets: next(answers, None)
    assert sent_by(here.datagrams, bytes(1060), 0, 212, 53) == (212 * after, number)
    assert len(here.peer.receive(4 * after)) == 4 * after
    assert script.calls == ["sendmsg"] * (after + 1)


def test_the_socket_stays_its_owners(twin: Any, ends: Ends) -> None:
    here = Here(twin.Datagrams, ends)
    here.datagrams = None
    here.peer.send(b"still there")
    assert here.socket.recv(100) == b"still there"


@pytest.mark.parametrize(("family", "address"), [
    (socket.AF_INET, ("localhost", 9)), (socket.AF_INET, ("::1", 9)), (socket.AF_INET6, ("127.0.0.1", 9)),
    (socket.AF_INET, ("127.0.0.1", 65_536)), (socket.AF_INET, ("127.0.0.1", -1))])
@pytest.mark.skipif(not build.is_compiled(), reason="not compiled")
def test_the_compiled_take_addresses_only(ends: Ends, family: int, address: tuple[str, int]) -> None:
    here = Here(bursts.Datagrams, ends)
    with pytest.raises((OSError, OverflowError)):
        bursts.Datagrams(here.socket.fileno(), family, address)
    with pytest.raises((OSError, OverflowError)):
        here.datagrams.answer(("::1" if ":" not in address[0] else "127.0.0.1", 70_000))
    here.peer.send(b"x")
    assert received_by(here.datagrams, 16) == (own(b"x"), 0), "an address that is none changes nothing"


# Large trains.


def in_one(here: Here, most: int = 32) -> tuple[list[Any], int]:
    """A burst, plain octets that follow one another joined, and the errno."""
    received, error = received_by(here.datagrams, most)
    made: list[Any] = []
    for item in received:
        if made and isinstance(item, bytes) and isinstance(made[-1], bytes):
            made[-1] += item
        else:
            made.append(item)
    return made, error


def large(number: int, cells: int = 1200) -> bytes:
    """Octets of many cells, told apart by a number."""
    return bytes([number]) * (CELL_SIZE * cells)


def test_large_trains_are_read_one_behind_the_other(here: Here) -> None:
    here.join()
    here.peer.send_joined(large(0), 27 * CELL_SIZE)
    assert in_one(here) == ([large(0)], 0)
    for number in range(1, 7):
        here.peer.send_joined(large(number), 27 * CELL_SIZE)
    here.peer.send(large(7, 1), large(8, 2))
    sent = b"".join([*(large(number) for number in range(1, 7)), large(7, 1), large(8, 2)])
    got: list[Any] = []
    joined_ = 0
    while received := here.datagrams.receive(32):
        got += received
        joined_ += here.datagrams.joined
    assert b"".join(got) == sent
    assert joined_ == 6 * 45 + 2
    if build.is_compiled() and type(here.datagrams) is bursts.Datagrams:
        assert max(map(len, got)) > 3 * len(large(0)), "in one buffer"


def test_an_odd_datagram_between_large_trains_keeps_its_place(here: Here) -> None:
    here.join()
    here.peer.send_joined(large(0), 27 * CELL_SIZE)
    assert in_one(here) == ([large(0)], 0)
    stranger, address = here.stranger()
    here.peer.send_joined(large(1), 27 * CELL_SIZE)
    stranger.send(b"x" * CELL_SIZE)
    here.peer.send_joined(large(2), 27 * CELL_SIZE)
    here.peer.send(b"y", b"")
    here.peer.send_joined(large(3), 27 * CELL_SIZE)
    got: list[Any] = []
    while received := in_one(here)[0]:
        got += received
    assert got == [large(1), (b"x" * CELL_SIZE, CELL_SIZE, -1, address), large(2), *own(b"y", b""), large(3)]
    here.peer.send(b"z" * CELL_SIZE)
    assert in_one(here) == ([b"z" * CELL_SIZE], 0)
    assert received_by(here.datagrams, 0) == ([], 0)


# Both at once.


@pytest.mark.skipif(not build.is_compiled(), reason="not compiled")
@given(st.data())
def test_both_say_the_same_of_the_same(data: st.DataObject) -> None:
    ends = Ends()
    both = [Here(bursts._Datagrams, ends), Here(bursts.Datagrams, ends)]
    strangers = [here.stranger()[0] for here in both]
    if data.draw(st.booleans(), "joined"):
        for here in both:
            here.join()
    try:
        for _ in range(data.draw(st.integers(1, 6), "steps")):
            kind = data.draw(st.sampled_from(["send", "joined", "stranger", "receive", "out"]))
            size = data.draw(st.integers(1, 200), "size")
            count = data.draw(st.integers(1, 20), "count")
            octets = bytes(index % 251 for index in range(size * count - data.draw(st.integers(0, size - 1), "less")))
            for here, stranger in zip(both, strangers, strict=True):
                if kind == "send":
                    here.peer.send(*split(octets, size))
                elif kind == "joined":
                    here.peer.send_joined(octets, size)
                elif kind == "stranger":
                    stranger.send(octets)
            if kind == "receive":
                one, other = [[(*item[:3], item[3] is None) for item in here.datagrams.receive(count)]
                              for here in both]
                assert one == other
            elif kind == "out":
                assert (sent_by(both[0].datagrams, octets, 0, 4 * size, size)
                        == sent_by(both[1].datagrams, octets, 0, 4 * size, size) == (len(octets), 0))
                assert both[0].peer.receive(count) == both[1].peer.receive(count)
    finally:
        ends.close()


# Frames of a packet socket, here between two sockets of UNIX, which keep the bounds of messages, too.


@pytest.fixture
def messages() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    yield ends
    for end in ends:
        end.close()


def recorded(frames: list[bytes]) -> bytes:
    return b"".join(len(frame).to_bytes(LENGTH_SIZE, "big") + frame for frame in frames)


@pytest.mark.parametrize("most", [1, 15, 16, 17, 40])
def test_frames_arrive_as_records_in_order(twin: Any, messages: tuple[socket.socket, socket.socket], most: int) -> None:
    one, other = messages
    # Few at a time: the kernel bounds the messages that wait.
    frames = [bytes([n]) * size for n, size in enumerate((1, 60, 1514, 65_600, 74, 74, 2, 9000))]
    sender, receiver = twin.FrameBursts(one.fileno()), twin.FrameBursts(other.fileno())
    got: list[bytes] = []
    for _ in range(5):
        octets = recorded(frames)
        assert sender.send(octets, 0) == len(octets)
        assert sender.error == 0
        while found := receiver.receive(most):
            assert len(found) <= most
            got += found
        assert receiver.error == 0
    assert b"".join(got) == recorded(frames * 5)


def test_a_burst_of_frames_ends_at_the_one_that_has_no_room(
    twin: Any, messages: tuple[socket.socket, socket.socket],
) -> None:
    one, other = messages
    sender, receiver = twin.FrameBursts(one.fileno()), twin.FrameBursts(other.fileno())
    octets = recorded([bytes(100)] * 2000)
    at = sender.send(octets, 0)
    assert 0 < at < len(octets)
    assert sender.error == errno.EAGAIN
    while at < len(octets):
        assert receiver.receive(5)
        before, at = at, sender.send(octets, at)
        assert at > before
    while receiver.receive(64):
        pass
    assert sender.error == receiver.error == 0


def test_a_frame_that_the_system_refuses_ends_the_burst(
    twin: Any, messages: tuple[socket.socket, socket.socket],
) -> None:
    one, other = messages
    sender = twin.FrameBursts(one.fileno())
    octets = recorded([b"first", bytes(1 << 22), b"last"])
    assert sender.send(octets, 0) == len(recorded([b"first"]))
    assert sender.error == errno.EMSGSIZE
    assert other.recv(100) == b"first"
    assert sender.send(octets, len(recorded([b"first", bytes(1 << 22)]))) == len(octets)
    assert other.recv(100) == b"last"


def test_records_that_are_cut_are_refused(twin: Any, messages: tuple[socket.socket, socket.socket]) -> None:
    sender = twin.FrameBursts(messages[0].fileno())
    for octets in (b"\0\0\0\5abcd", b"\xff\xff\xff\xff", b"\0\0\1"):
        with pytest.raises(ValueError, match="records end"):
            sender.send(octets, 0)
