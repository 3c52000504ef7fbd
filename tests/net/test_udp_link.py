from __future__ import annotations

import errno
import random
import socket
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.config.units import UdpAddress
from atmdepot.drops import DropReason, Drops
from atmdepot.errors import EnvironmentLacks
from atmdepot.net import udp_link
from atmdepot.net.bursts import Datagrams
from atmdepot.net.udp_link import UdpLink
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.link_tag import LinkTag
from atmdepot.wire.pseudowire import Pseudowire
from tests.net.ends import (
    UDP_GRO,
    Ends,
    Pipe,
    Plain,
    Told,
    cells_of,
    fresh,
    fresh6,
    is_readable,
    is_silent,
    pair_of,
    receive,
    receive_all,
    scripted,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_SO_NO_CHECK = 11
OFFLOADS = pytest.mark.parametrize("offload", [True, False], ids=["UDP_SEGMENT", "plain"])


# Out.


@OFFLOADS
@pytest.mark.parametrize(("cells", "sent", "sizes"), [
    (1, 1, [1]), (1, 5, [1] * 5), (1, 64, [1] * 64), (1, 65, [1] * 65), (1, 200, [1] * 200),
    (3, 10, [3, 3, 3, 1]), (27, 27, [27]), (27, 28, [27, 1]), (27, 5, [5]), (27, 1236 + 1, [27] * 45 + [22]),
    (1235, 1235 * 2, [1235] * 2),
])
def test_datagrams_hold_the_cells_in_order(
    ends: Ends, offload: bool, cells: int, sent: int, sizes: list[int],
) -> None:
    peer, link = ends.plain_and_link(cells)
    link.segment_offload = link.segment_offload and offload
    train = cells_of(sent)
    link.send(train, 0)
    got = peer.receive(len(sizes))
    assert [len(datagram) for datagram in got] == [size * CELL_SIZE for size in sizes]
    assert b"".join(got) == train
    assert (link.tx_datagrams, link.drops, link.wants_write()) == (len(sizes), {}, False)


def test_a_burst_is_one_system_call(ends: Ends) -> None:
    peer, link = ends.plain_and_link(1)
    assert link.segment_offload, "the kernel has had UDP_SEGMENT since 4.18"
    script = scripted(link)
    link.send(cells_of(64), 0)
    assert script.calls == ["sendmsg"]
    link.send(cells_of(1), 0)
    assert script.calls == ["sendmsg", "sendto"]
    peer.receive(65)


def test_nothing_to_send_sends_nothing(ends: Ends) -> None:
    peer, link = ends.plain_and_link()
    link.send(b"", 0)
    assert not is_readable(peer.socket.fileno())
    assert link.tx_datagrams == 0


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP])
def test_a_device_that_refuses_segmentation_gets_plain_datagrams(ends: Ends, number: int) -> None:
    peer, link = ends.plain_and_link(2)
    script = scripted(link)
    script.refuse = lambda call, _: OSError(number, "refused") if call == "sendmsg" else None
    train = cells_of(7)
    link.send(train, 0)
    assert peer.receive(4) == split(train, 2 * CELL_SIZE)
    assert (link.segment_offload, link.drops, link.tx_datagrams) == (False, {}, 4)
    script.calls.clear()
    link.send(train, 0)
    assert script.calls == ["sendto"] * 4, "it must not try the offload again"
    assert peer.receive(4) == split(train, 2 * CELL_SIZE)


SECOND = 10**9


def refused_until(link: UdpLink, end: int, number: int = errno.EMSGSIZE) -> list[int]:
    """Send bursts for 200 s of a route that refuses segmentation until `end`; the times of the attempts at it."""
    script = scripted(link)
    times: list[int] = []

    def refuse(call: str, _octets: bytes) -> OSError | None:
        if call != "sendmsg":
            return None
        times.append(now)
        return OSError(number, "refused") if now < end else None

    script.refuse = refuse
    for now in range(0, 200 * SECOND, SECOND // 4):
        link.send(cells_of(4), now)
    return times


@pytest.mark.parametrize("number", [errno.EIO, errno.EMSGSIZE])
def test_segmentation_is_tried_again_later_and_later(
    ends: Ends, number: int, caplog: pytest.LogCaptureFixture,
) -> None:
    peer, link = ends.plain_and_link(2)
    times = refused_until(link, 10**18, number)
    assert [time / SECOND for time in times] == [0, 1, 3, 7, 15, 31, 63, 123, 183], "1 s, doubled up to 60 s"
    assert (link.segment_offload, link.segment_refusals, link.drops) == (False, 9, {})
    assert len(caplog.records) == 1, "it is told once"
    assert "UDP_SEGMENT" in link.trouble()
    assert len(peer.drain()) == 800 * 4 * CELL_SIZE, "nothing was lost"


def test_segmentation_comes_back_when_it_is_taken_again(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    peer, link = ends.plain_and_link(2)
    times = refused_until(link, 5 * SECOND)
    assert [time / SECOND for time in times[:5]] == [0, 1, 3, 7, 7.25]
    assert (link.segment_offload, link.segment_refusals, link.trouble()) == (True, 3, "")
    assert ["refused" in caplog.records[0].message, "again" in caplog.records[1].message] == [True, True]
    assert len(caplog.records) == 2
    assert len(peer.drain()) == 800 * 4 * CELL_SIZE
    caplog.clear()
    script = scripted(link)
    script.refuse = lambda call, _: OSError(errno.EIO, "refused") if call == "sendmsg" else None
    link.send(cells_of(4), 300 * SECOND)
    link.send(cells_of(4), 301 * SECOND)
    assert script.calls == ["sendmsg", "sendto", "sendto"] * 2, "after a long time without a refusal the pause is 1 s"


def test_a_route_that_changes_all_the_time_is_not_tried_all_the_time(ends: Ends) -> None:
    _, link = ends.plain_and_link(2)
    script = scripted(link)
    turn = iter([OSError(errno.EIO, ""), None] * 1000)
    script.refuse = lambda call, _: next(turn) if call == "sendmsg" else None
    for now in range(0, 100 * SECOND, SECOND // 10):
        link.send(cells_of(4), now)
    assert 4 < link.segment_refusals < 10


def test_one_datagram_proves_nothing(ends: Ends) -> None:
    _, link = ends.plain_and_link(2)
    script = scripted(link)
    script.refuse = lambda call, _: OSError(errno.EIO, "") if call == "sendmsg" else None
    link.send(cells_of(4), 0)
    link.send(cells_of(2), 10 * SECOND)
    assert (link.segment_offload, script.calls[-1]) == (False, "sendto")


def test_a_kernel_without_segmentation_is_not_asked(ends: Ends) -> None:
    _, link = ends.plain_and_link(2)
    link.segment_offload = False
    script = scripted(link)
    for now in (0, 100 * SECOND):
        link.send(cells_of(4), now)
    assert (script.calls, link.trouble()) == (["sendto"] * 4, "")


def test_a_kernel_that_refuses_segmentation_gets_plain_datagrams(ends: Ends) -> None:
    peer, link = ends.plain_and_link(2)
    link._socket.setsockopt(socket.SOL_SOCKET, _SO_NO_CHECK, 1)  # it segments no datagrams without a checksum
    link.send(cells_of(7), 0)
    assert peer.receive(4) == split(cells_of(7), 2 * CELL_SIZE)
    assert (link.segment_offload, link.drops, link.last_error, link.tx_datagrams) == (False, {}, "", 4)


def test_cells_sent_before_segmentation_failed_are_not_sent_again(ends: Ends) -> None:
    peer, link = ends.plain_and_link(1)
    script = scripted(link)
    answers = iter([None, OSError(errno.EIO, "the route has changed")])
    script.refuse = lambda call, _: next(answers) if call == "sendmsg" else None
    link.send(cells_of(130), 0)
    assert peer.receive(130) == split(cells_of(130))
    assert script.calls == ["sendmsg"] * 2 + ["sendto"] * 66
    assert (link.segment_offload, link.drops, link.tx_datagrams) == (False, {}, 130)


@OFFLOADS
def test_a_refusal_in_the_middle_is_counted_and_the_rest_sent(ends: Ends, offload: bool) -> None:
    peer, link = ends.plain_and_link(1)
    link.segment_offload = offload
    script = scripted(link)
    refused = cells_of(64, 64) if offload else cells_of(1, 64)
    script.refuse = lambda _call, octets: OSError(errno.EPERM, "filtered") if octets == refused else None
    link.send(cells_of(190), 0)
    lost = len(refused) // CELL_SIZE
    assert b"".join(peer.receive(190 - lost)) == cells_of(190).replace(refused, b"")
    assert (link.drops, link.tx_datagrams) == ({DropReason.TX_ERROR: lost}, 190 - lost)
    assert (link.last_error, link.segment_offload) == ("Operation not permitted", offload)


def test_other_errors_do_not_end_segmentation(ends: Ends) -> None:
    peer, link = ends.plain_and_link(2)
    script = scripted(link)
    script.refuse = lambda _call, _octets: OSError(errno.ENOBUFS, "No buffer space available")
    link.send(cells_of(7), 0)
    assert (link.drops, link.last_error) == ({DropReason.TX_ERROR: 7}, "No buffer space available")
    assert (link.segment_offload, link.tx_datagrams, link.wants_write()) == (True, 0, False)
    script.refuse = lambda _call, _octets: None
    link.send(cells_of(7), 0)
    assert b"".join(peer.receive(4)) == cells_of(7)


def test_a_refusal_of_the_system_is_counted_in_cells(ends: Ends) -> None:
    link = ends.link(fresh(), UdpAddress("255.255.255.255:9"), 2)  # a broadcast takes SO_BROADCAST
    link.send(cells_of(5), 0)
    assert link.drops == {DropReason.TX_ERROR: 5}
    assert link.last_error == "Permission denied"
    assert link.tx_datagrams == 0


def full(_call: str, _octets: bytes) -> OSError:
    return BlockingIOError(errno.EAGAIN, "full")


def test_a_full_send_buffer_holds_cells_in_order(ends: Ends) -> None:
    peer, link = ends.plain_and_link(1)
    script = scripted(link)
    link.send(cells_of(2), 0)
    script.refuse = full
    link.send(cells_of(3, 2), 0)
    link.send(cells_of(1, 5), 0)
    assert (link.wants_write(), link.tx_datagrams) == (True, 2)
    script.refuse = lambda _call, _octets: None
    link.send(cells_of(1, 6), 0)  # there is room again, but others wait
    assert link.tx_datagrams == 2
    link.flush()
    assert (link.wants_write(), link.tx_datagrams, link.drops) == (False, 7, {})
    assert b"".join(peer.receive(7)) == cells_of(7)


def test_a_flush_that_finds_the_buffer_full_again_keeps_the_order(ends: Ends) -> None:
    peer, link = ends.plain_and_link(1)
    script = scripted(link)
    script.refuse = full
    for number in range(4):
        link.send(cells_of(1, number), 0)
    room = iter([None, full("", b""), None, None, None])
    script.refuse = lambda _call, _octets: next(room)
    link.flush()
    assert link.wants_write()
    link.flush()
    assert not link.wants_write()
    assert b"".join(peer.receive(4)) == cells_of(4)


def test_cells_beyond_the_backlog_are_counted(ends: Ends) -> None:
    peer, link = ends.plain_and_link(27)
    script = scripted(link)
    script.refuse = full
    burst = cells_of(27 * 40)
    bound = 4 * 2**20 // len(burst)
    for _ in range(bound + 3):
        link.send(burst, 0)
    assert link.drops == {DropReason.TX_OVERFLOW: 3 * 27 * 40}
    script.refuse = lambda _call, _octets: None
    link.flush()
    assert 0 < len(peer.drain()) <= bound * len(burst)
    assert not link.wants_write()
    script.refuse = full
    link.send(burst, 0)
    assert link.wants_write(), "what has been sent makes room in the backlog"
    assert link.drops == {DropReason.TX_OVERFLOW: 3 * 27 * 40}


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_system_refuses_the_order_is_kept(ends: Ends, seed: int) -> None:
    draw = random.Random(seed)
    peer, link = ends.plain_and_link(draw.choice([1, 2, 27]))
    script = scripted(link)

    def refuse(call: str, octets: bytes) -> OSError | None:
        if call == "sendmsg" and draw.random() < 0.2:
            return OSError(errno.EIO, "no offload")
        return BlockingIOError(errno.EAGAIN, "full") if draw.random() < 0.5 else None

    script.refuse = refuse
    sent, got = 0, b""
    for _ in range(20):
        count = draw.randint(1, 100)
        link.send(cells_of(count, sent), 0)
        sent += count
        if draw.random() < 0.5:
            link.flush()
        got += peer.drain()
    while link.wants_write():
        link.flush()
        got += peer.drain()
    assert got == cells_of(sent)
    assert link.drops == {}
    assert link._backlog_octets == 0


@pytest.mark.parametrize("seed", range(20))
def test_whatever_there_is_room_for_the_order_is_kept(ends: Ends, seed: int) -> None:
    """The same with the bursts as they are here, compiled or not, and a buffer that is really full."""
    draw = random.Random(seed)
    link = ends.link(fresh(), fresh(), draw.choice([1, 2, 27]))
    link.segment_offload = draw.random() < 0.5
    pipe: Pipe = ends.keep(Pipe(6000))
    link._datagrams = Datagrams(pipe.near.fileno(), socket.AF_INET, ("127.0.0.1", 9))
    sent, got, waited = 0, b"", 0
    for _ in range(40):
        count = draw.randint(1, 100)
        link.send(cells_of(count, sent), 0)
        sent += count
        if draw.random() < 0.3:
            got += b"".join(pipe.drain(draw.randint(1, 20)))
        waited += link.wants_write()
        if draw.random() < 0.5:
            link.flush()
    while link.wants_write():
        link.flush()
        datagrams = pipe.drain()
        assert datagrams
        got += b"".join(datagrams)
    got += b"".join(pipe.drain())
    assert got == cells_of(sent)
    assert waited > 5, "the buffer was hardly ever full"
    assert (link.drops, link._backlog_octets) == ({}, 0)


# In.


@pytest.mark.parametrize("cells", [1, 27])
def test_cells_that_one_end_sends_the_other_receives(ends: Ends, cells: int) -> None:
    one, other = ends.pair(cells)
    one.send(cells_of(300), 0)
    other.send(cells_of(5, 1000), 0)
    assert receive_all(other, 300 * CELL_SIZE) == cells_of(300)
    assert receive_all(one, 5 * CELL_SIZE) == cells_of(5, 1000)
    assert other.rx_datagrams == one.tx_datagrams == -(-300 // cells)
    assert one.drops == other.drops == {}


def test_datagrams_that_the_kernel_joined_are_one_receive(ends: Ends) -> None:
    peer, link = ends.plain_and_link(2)
    assert link.receive_offload, "the kernel has had UDP_GRO since 5.0"
    peer.send_joined(cells_of(7), 2 * CELL_SIZE)
    assert link.receive_burst(5) == [cells_of(7)]
    assert is_silent(link)
    assert (link.rx_datagrams, link.drops) == (4, {})


@pytest.mark.parametrize("most", [1, 16, 17, 40])
def test_a_burst_has_its_bound(ends: Ends, most: int) -> None:
    peer, link = ends.plain_and_link(1)
    train = split(cells_of(40))
    peer.send(*train)
    for at in range(0, 40, most):
        assert link.receive_burst(most) == train[at:at + most]
        assert link.rx_datagrams == min(at + most, 40)
    assert is_silent(link)


def test_in_a_burst_the_good_are_taken_and_the_others_counted(ends: Ends) -> None:
    peer, link = ends.plain_and_link(2)
    local = UdpAddress.of(*peer.peer)
    stranger = ends.plain(fresh(), local)
    peer.send(cells_of(1), b"no cells")
    stranger.send(cells_of(2, 1), b"")
    peer.send(b"", cells_of(2, 3))
    peer.send_joined(cells_of(3, 5) + bytes(5), 2 * CELL_SIZE)
    assert link.receive_burst(16) == [cells_of(1), cells_of(2, 3), cells_of(2, 5)]
    assert link.rx_datagrams == 8
    assert link.drops == {DropReason.NOT_WHOLE_CELLS: 3, DropReason.NOT_THE_PEER: 2}


def test_without_udp_gro_datagrams_come_one_by_one(ends: Ends) -> None:
    peer, link = ends.plain_and_link(2)
    link._socket.setsockopt(socket.SOL_UDP, UDP_GRO, 0)
    peer.send_joined(cells_of(7), 2 * CELL_SIZE)
    assert [receive(link) for _ in range(4)] == split(cells_of(7), 2 * CELL_SIZE)
    assert link.rx_datagrams == 4


def test_nothing_there_is_no_burst(ends: Ends) -> None:
    _, link = ends.plain_and_link()
    assert link.receive_burst(16) == []
    assert (link.rx_datagrams, link.drops) == (0, {})


@pytest.mark.parametrize("size", [0, 1, 52, 54, 105, 1431 - 1, 65_507])
def test_a_datagram_that_is_not_whole_cells_is_counted(ends: Ends, size: int) -> None:
    peer, link = ends.plain_and_link()
    peer.send(bytes(size), cells_of(1))
    assert receive(link) == b""
    assert (link.drops, link.rx_datagrams) == ({DropReason.NOT_WHOLE_CELLS: 1}, 1)
    assert receive(link) == cells_of(1)


@pytest.mark.parametrize(("octets", "size", "good", "bad"), [
    (cells_of(20)[:1000], 100, b"", 10),
    (cells_of(100), 100, b"", 53),  # 5300 octets are whole cells; its datagrams are not
    (cells_of(5)[:-1], 2 * CELL_SIZE, cells_of(4), 1),
    (cells_of(5), 2 * CELL_SIZE, cells_of(5), 0),
    (cells_of(2) + bytes(1), 2 * CELL_SIZE, cells_of(2), 1),
    (bytes(54) + cells_of(1), 54, cells_of(1), 1),
])
def test_of_joined_datagrams_those_of_whole_cells_are_taken(
    ends: Ends, octets: bytes, size: int, good: bytes, bad: int,
) -> None:
    peer, link = ends.plain_and_link()
    peer.send_joined(octets, size)
    assert link.receive_burst(16) == ([good] if good else [])
    assert is_silent(link)
    assert link.drops.get(DropReason.NOT_WHOLE_CELLS, 0) == bad
    assert link.rx_datagrams == -(-len(octets) // size)


def test_datagrams_from_anyone_but_the_peer_are_counted(ends: Ends) -> None:
    peer, link = ends.plain_and_link(2)
    local, known = UdpAddress.of(*peer.peer), UdpAddress.of(*peer.socket.getsockname())
    other_port = ends.plain(UdpAddress.of(known.host, known.port + 10_000), local)
    other_host = ends.plain(UdpAddress.of(fresh().host, known.port), local)
    other_port.send(cells_of(1))
    assert receive(link) == b""
    other_host.send(cells_of(2))
    assert receive(link) == b""
    other_host.send(b"no cells at all")
    assert receive(link) == b""
    assert (link.drops, link.rx_datagrams) == ({DropReason.NOT_THE_PEER: 3}, 3)
    other_host.send_joined(cells_of(7), 2 * CELL_SIZE)
    assert receive(link) == b""
    assert (link.drops, link.rx_datagrams) == ({DropReason.NOT_THE_PEER: 7}, 7)
    peer.send(cells_of(2, 40))
    assert receive(link) == cells_of(2, 40)
    assert link.drops == {DropReason.NOT_THE_PEER: 7}


def test_a_peer_whose_port_is_unknown_is_answered_where_it_last_sent_from(ends: Ends) -> None:
    local, host = fresh(), fresh().host
    link = ends.link(local, UdpAddress.of(host, 0), 2)
    link.send(cells_of(5), 0)
    assert link.drops == {DropReason.TX_ERROR: 5}
    assert "port is not known" in link.last_error
    stranger = ends.plain(fresh(), local)
    stranger.send(cells_of(1))
    assert receive(link) == b""
    assert link.drops[DropReason.NOT_THE_PEER] == 1
    for port in (20_001, 20_002):
        peer = ends.plain(UdpAddress.of(host, port), local)
        peer.send(cells_of(1, port))
        assert receive(link) == cells_of(1, port)
        link.send(cells_of(4, port), 0)
        assert peer.receive(2) == split(cells_of(4, port), 2 * CELL_SIZE)
    assert link.drops == {DropReason.TX_ERROR: 5, DropReason.NOT_THE_PEER: 1}


def test_a_full_receive_buffer_is_counted(ends: Ends) -> None:
    peer, link = ends.plain_and_link()
    link._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel's least
    counted = 0
    for burst in (500, 300):
        peer.send(*[cells_of(1)] * burst)
        received = 0
        while cells := link.receive_burst(16):
            received += len(cells)
        assert 0 < received < burst
        counted += burst - received
        # How many were lost is told with the next one that is not.
        peer.send(cells_of(1))
        assert receive(link) == cells_of(1)
        assert link.drops == {DropReason.RX_OVERFLOW: counted}


def test_the_overflow_counter_of_the_kernel_may_wrap(ends: Ends) -> None:
    _, link = ends.plain_and_link()
    # Of two in one burst each counts once; -1 is of a socket that does not say.
    link._datagrams = Told(*([(cells_of(1), CELL_SIZE, seen, None)] * 2 for seen in (0xFFFFFFFE, -1, 1, 1)))
    for counted in (0xFFFFFFFE, 0xFFFFFFFE, 0xFFFFFFFE + 3, 0xFFFFFFFE + 3):
        assert link.receive_burst(16) == [cells_of(1)] * 2
        assert link.drops == {DropReason.RX_OVERFLOW: counted}


def test_an_error_report_on_the_socket_is_noted(ends: Ends) -> None:
    peer, link = ends.plain_and_link()
    script = scripted(link)
    script.refuse = lambda _call, _octets: ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    assert link.receive_burst(5) == []
    assert script.calls == ["recvmsg_into"] * 5, "errors count as reads, or they could go on for ever"
    assert link.last_error == "Connection refused"
    answers = iter([None, OSError(errno.EHOSTUNREACH, ""), None])
    script.refuse = lambda _call, _octets: next(answers, None)
    peer.send(cells_of(1), cells_of(2))
    assert link.receive_burst(5) == [cells_of(1), cells_of(2)]
    assert link.last_error == "No route to host"


def test_an_icmp_error_is_noted_and_does_no_harm(ends: Ends) -> None:
    peer, link = ends.plain_and_link()
    link._socket.connect(peer.socket.getsockname())  # so that the kernel tells it
    local, known = UdpAddress.of(*peer.peer), UdpAddress.of(*peer.socket.getsockname())
    peer.close()
    link.send(cells_of(1), 0)
    assert link.last_error == ""
    assert link.receive_burst(16) == []
    assert link.last_error == "Connection refused"
    back = ends.plain(known, local)
    back.send(cells_of(2))
    assert receive(link) == cells_of(2)
    link.send(cells_of(3), 0)
    assert back.receive(1) == [cells_of(3)]
    assert link.drops == {}


def test_a_peer_that_nobody_is_does_no_harm(ends: Ends) -> None:
    link = ends.link(fresh(), fresh())
    for _ in range(3):
        link.send(cells_of(100), 0)
        assert link.receive_burst(16) == []


def test_a_socket_has_no_time_of_its_own(ends: Ends) -> None:
    _, link = ends.plain_and_link()
    link.handle_timer(0)
    assert link.next_timer() is None


# With a key.

KEY = bytes(range(32))


def tagged(ends: Ends, cells: int = 2, key: bytes = KEY) -> tuple[Plain, UdpLink, LinkTag]:
    """A link with a key, a plain socket as its peer, and the peer's side of the tag."""
    one, other = fresh(), fresh()
    link = ends.keep(UdpLink("lnk", other, one, cells, Drops(), form=LinkTag(key, 1, 1000)))
    return ends.plain(one, other), link, LinkTag(KEY, 0, 5000)


@OFFLOADS
@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_each_datagram_has_its_tag(ends: Ends, offload: bool, count: int) -> None:
    peer, link, tag = tagged(ends)
    link.segment_offload = link.segment_offload and offload
    link.send(cells_of(count), 0)
    got = peer.receive(-(-count // 2))
    assert [len(one) % CELL_SIZE for one in got] == [24] * len(got)
    assert b"".join(tag.open(one) for one in got) == cells_of(count)
    assert link.tx_datagrams == len(got)


def test_two_ends_with_a_key_and_the_kernel_joining_datagrams(ends: Ends) -> None:
    one, other = fresh(), fresh()
    near, far = (ends.keep(UdpLink("lnk", own, its, 27, Drops(), form=LinkTag(KEY, way, 7)))
                 for own, its, way in ((one, other, 0), (other, one, 1)))
    near.send(cells_of(1000), 0)
    far.send(cells_of(5, 2000), 0)
    assert receive_all(far, 1000 * CELL_SIZE) == cells_of(1000)
    assert receive_all(near, 5 * CELL_SIZE) == cells_of(5, 2000)
    assert (near.drops, far.drops) == ({}, {})
    assert far.rx_datagrams == near.tx_datagrams == 38


def test_datagrams_without_a_tag_of_another_key_or_replayed_are_counted(ends: Ends) -> None:
    peer, link, tag = tagged(ends)
    good, again = tag.seal(cells_of(2)), tag.seal(cells_of(1, 2))
    forged = LinkTag(bytes(16), 0, 9000).seal(cells_of(2))
    peer.send(cells_of(2), good, forged, good[:-1], again, good, cells_of(1), b"")
    assert b"".join(link.receive_burst(32)) == cells_of(3)
    assert link.drops == {DropReason.BAD_TAG: 5, DropReason.REPLAYED: 1}
    peer.send_joined(cells_of(8), 2 * CELL_SIZE)
    assert link.receive_burst(32) == []
    assert link.drops == {DropReason.BAD_TAG: 9, DropReason.REPLAYED: 1}
    peer.send(tag.seal(b"x" * 54))
    assert link.receive_burst(32) == []
    assert link.drops[DropReason.NOT_WHOLE_CELLS] == 1
    assert link.rx_datagrams == 13


def test_a_link_without_a_key_drops_what_has_a_tag(ends: Ends) -> None:
    peer, link = ends.plain_and_link()
    peer.send(LinkTag(KEY, 0, 1).seal(cells_of(2)))
    assert receive(link) == b""
    assert link.drops == {DropReason.NOT_WHOLE_CELLS: 1}


def test_only_a_right_tag_moves_a_peer_to_another_port(ends: Ends) -> None:
    local, host = fresh(), fresh().host
    link = ends.keep(UdpLink("lnk", local, UdpAddress.of(host, 0), 2, Drops(), form=LinkTag(KEY, 1, 1)))
    forger, peer = (ends.plain(UdpAddress.of(host, port), local) for port in (20_001, 20_002))
    peer.send(LinkTag(KEY, 0, 1).seal(cells_of(1)))
    assert receive(link) == cells_of(1)
    forger.send(cells_of(1))
    assert receive(link) == b""
    link.send(cells_of(1), 0)
    assert len(peer.receive(1)) == 1
    assert not is_readable(forger.socket.fileno())


def test_cells_of_datagrams_with_tags_are_counted_right(ends: Ends) -> None:
    _, link, _ = tagged(ends, 1)
    script = scripted(link)
    script.refuse = lambda _call, _octets: OSError(errno.EPERM, "filtered")
    link.send(cells_of(64), 0)
    assert link.drops == {DropReason.TX_ERROR: 64}
    script.refuse = full
    for _ in range(4 * 2**20 // (64 * 77) + 3):
        link.send(cells_of(64), 0)
    assert link.drops[DropReason.TX_OVERFLOW] % 64 == 0


# Opening.


def test_a_taken_port(ends: Ends) -> None:
    taken, peer = fresh(), fresh()
    ends.plain(taken, peer)
    with pytest.raises(EnvironmentLacks) as lacks:
        ends.link(taken, peer)
    assert str(lacks.value) == (f"link lnk: cannot bind {taken}: Address already in use; another process has this "
                                "port: is the daemon already running?")
    assert lacks.value.exit_code == 5


def test_an_address_of_another_machine(ends: Ends) -> None:
    with pytest.raises(EnvironmentLacks) as lacks:
        ends.link(UdpAddress("192.0.2.1:5501"), fresh())
    assert str(lacks.value) == ("link lnk: cannot bind 192.0.2.1:5501: Cannot assign requested address; this machine "
                                "has no such address: is this the right node?")


def test_ends_of_different_versions(ends: Ends) -> None:
    with pytest.raises(EnvironmentLacks, match=r"^link lnk: its two ends have addresses of different versions$"):
        ends.link(fresh(), UdpAddress("[::1]:5501"))


def test_a_name_that_means_nothing(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(udp_link.socket, "getaddrinfo", unknown)
    with pytest.raises(EnvironmentLacks, match=r"far\.invalid cannot be resolved: Name or service not known$"):
        ends.link(fresh(), UdpAddress("far.invalid:5501"))


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
def test_a_name_that_is_none(ends: Ends, host: str) -> None:
    with pytest.raises(EnvironmentLacks, match=r"^link lnk: a.* cannot be resolved: .+$"):
        ends.link(fresh(), UdpAddress.parse(f"{host}:5501"))


def test_names_are_resolved(ends: Ends) -> None:
    version, *_, address = socket.getaddrinfo("localhost", 1, type=socket.SOCK_DGRAM)[0]
    with socket.socket(version, socket.SOCK_DGRAM) as probe:
        probe.bind((address[0], 0))
        port = probe.getsockname()[1]
    local = fresh6() if version == socket.AF_INET6 else fresh()
    peer = ends.plain(UdpAddress.of(address[0], port), local)
    link = ends.link(local, UdpAddress.of("localhost", port), 1)
    link.send(cells_of(2), 0)
    assert b"".join(peer.receive(2)) == cells_of(2)
    peer.send(cells_of(1, 7))
    assert receive(link) == cells_of(1, 7)
    assert link.drops == {}


def test_ipv6_ends(ends: Ends) -> None:
    one, other = fresh6(), fresh6()
    link, back = ends.link(one, other, 1), ends.link(other, one, 1)
    link.send(cells_of(70), 0)
    assert receive_all(back, 70 * CELL_SIZE) == cells_of(70)
    back.send(cells_of(1, 9), 0)
    assert receive(link) == cells_of(1, 9)
    stranger = Plain(fresh6(), one)
    ends.keep(stranger)
    stranger.send(cells_of(1))
    assert receive(link) == b""
    assert link.drops == {DropReason.NOT_THE_PEER: 1}


def test_closing_frees_the_port(ends: Ends) -> None:
    local, peer = fresh(), fresh()
    UdpLink("lnk", local, peer, 1, Drops()).close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(pair_of(local))


# ── A link whose datagrams are those of a pseudowire (RFC 4717) ──

@pytest.mark.parametrize("number", [1, 8, 27, 100, 1000])  # 8 bare cells and their words are as long as 8 cells
def test_cells_pass_a_pseudowire(number: int) -> None:
    one, other = fresh(), fresh()
    sender = UdpLink("lnk", one, other, 27, Drops(), form=Pseudowire(16))
    receiver = UdpLink("lnk", other, one, 27, Drops(), form=Pseudowire(16))
    cells = cells_of(number)
    sender.send(cells, 0)
    assert receive_all(receiver, len(cells)) == cells
    assert (sender.drops, receiver.drops) == ({}, {})
    assert sender.tx_datagrams == receiver.rx_datagrams == -(-number // 27)
    sender.close()
    receiver.close()


def test_a_pseudowire_counts_what_it_refuses() -> None:
    one, other = fresh(), fresh()
    receiver = UdpLink("lnk", other, one, 27, Drops(), form=Pseudowire(16))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(pair_of(one))
        for datagram in (Pseudowire(17).seal(cells_of(1)), cells_of(8), b"x"):
            peer.sendto(datagram, pair_of(other))
            assert receive(receiver) == b""
    assert receiver.drops == {DropReason.WRONG_LABEL: 1, DropReason.NOT_WHOLE_CELLS: 2}
    receiver.close()


def test_cells_of_a_pseudowire_that_are_lost_are_counted_as_cells() -> None:
    one, other = fresh(), fresh()
    drops, seen = Drops(), []
    drops.subscribe(lambda reason, count, octets, vc: seen.append((reason, count, bytes(octets))))
    sender = UdpLink("lnk", one, other, 27, drops, form=Pseudowire(16))
    cells = cells_of(27 + 26)
    sender._count(DropReason.TX_ERROR, sender._sealed(cells))
    assert seen == [(DropReason.TX_ERROR, 53, cells[:27 * CELL_SIZE])]
    sender.close()


@pytest.mark.parametrize("address", [fresh, fresh6])
def test_datagrams_that_come_while_the_link_opens_are_the_peers(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, address: Callable[[], UdpAddress],
) -> None:
    local, far = address(), address()
    peer = ends.plain(far, local)
    bind = udp_link._bind

    def bind_late(*args: Any, **options: Any) -> socket.socket:
        bound = bind(*args, **options)
        peer.send(cells_of(1))
        return bound

    monkeypatch.setattr(udp_link, "_bind", bind_late)
    link = ends.link(local, far, 1)
    assert receive(link) == cells_of(1)
    assert link.drops == {}
