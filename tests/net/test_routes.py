"""The interfaces by which a peer is reached."""

from __future__ import annotations

import errno
import socket

import pytest

from atmdepot.net import routes
from atmdepot.net.routes import AGAIN, PeerInterfaces, interfaces_towards

LOOPBACK = socket.if_nametoindex("lo")


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize(("family", "peer", "local"), [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET, "127.9.9.9", "127.1.1.1"),
    (socket.AF_INET6, "::1", "::1")])
def test_this_machine_reaches_itself_by_loopback(family: int, peer: str, local: str) -> None:
    assert interfaces_towards(family, peer, local) == {LOOPBACK}


def answer(kind: int, *attributes: bytes) -> bytes:
    body = bytes(12) + b"".join(attributes)
    return routes._HEADER.pack(16 + len(body), kind, 0, 1, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    return routes._ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def test_all_next_hops_of_a_multipath_route_are_told() -> None:
    hops = b"".join(routes._NEXT_HOP.pack(16, 0, 0, hop) + attribute(5, bytes([10, 0, 0, hop])) for hop in (3, 4, 9))
    message = answer(24, attribute(1, bytes(4)), attribute(9, hops), attribute(4, number(7)))
    assert sorted(routes._answer(message)) == [3, 4, 7, 9]


def test_an_error_of_the_kernels_is_raised() -> None:
    message = routes._HEADER.pack(36, 2, 0, 1, 0) + (-errno.ENETUNREACH).to_bytes(4, "little", signed=True)
    with pytest.raises(OSError, match="unreachable") as raised:
        list(routes._answer(message))
    assert raised.value.errno == errno.ENETUNREACH


def test_routes_are_asked_again_when_another_interface_turns_up_but_not_for_each_datagram() -> None:
    clock = Clock()
    asked: list[int] = []
    answers = [frozenset({2})] * 3 + [frozenset({3, 4})] * 100

    def ask() -> frozenset[int]:
        asked.append(clock.now)
        return answers[len(asked) - 1]

    interfaces = PeerInterfaces("lnk", ask, clock)
    assert interfaces.holds(2)
    assert asked == [0], "what comes by the right interface asks nothing"
    for _ in range(1000):
        clock.now += AGAIN // 500
        assert not interfaces.holds(3)
    assert len(asked) == 3
    clock.now += AGAIN
    assert interfaces.holds(3), "the route has changed"
    assert interfaces.holds(4)
    assert not interfaces.holds(2)
    assert interfaces.fast == 3


def test_without_a_route_no_interface_is_right_until_there_is_one() -> None:
    clock = Clock()
    answers = iter([frozenset[int](), frozenset[int](), frozenset({5})])
    interfaces = PeerInterfaces("lnk", lambda: next(answers), clock)
    assert interfaces.fast == -1
    clock.now = AGAIN
    assert not interfaces.holds(5)
    clock.now = 2 * AGAIN
    assert interfaces.holds(5)


def test_a_kernel_that_does_not_tell_fences_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "refused")

    monkeypatch.setattr(routes.socket, "socket", refuse)
    assert interfaces_towards(socket.AF_INET, "127.0.0.1", "127.0.0.1") is None
    interfaces = PeerInterfaces("lnk", lambda: None, Clock())
    assert (interfaces.fast, interfaces.holds(99), interfaces.names()) == (0, True, "any interface")
