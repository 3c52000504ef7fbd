"""Orders to a lab's supervisor: whatever comes on the socket, the lab goes on."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2 import NetlinkError

from atmdepot.lab import orders
from atmdepot.lab.orders import SOCKET, Answer, Order, OrderServer
from tests.effort import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Supervisor:
    """A server of orders, and what it was told to do."""

    def __init__(self, directory: Path) -> None:
        self.obeyed: list[Order] = []
        self._path = directory / SOCKET
        self.obey: Callable[[Order], None] = self.obeyed.append
        self._server = OrderServer(directory, lambda order: self.obey(order))

    def ask(self, octets: bytes) -> Answer:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(self._path))
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
            self._server.answer()
            return msgspec.json.decode(client.recv(65536), type=Answer)

    def answer(self) -> None:
        self._server.answer()

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(self._path))
        return client

    def close(self) -> None:
        self._server.socket.close()


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path_factory.mktemp("o"))
    yield made
    made.close()


def test_an_order_is_obeyed(supervisor: Supervisor) -> None:
    assert supervisor.ask(b'{"do":"kill","names":["web1"],"signal":19}\n') == Answer()
    assert supervisor.obeyed.pop() == Order("kill", ("web1",), signal.SIGSTOP)


@pytest.mark.parametrize("line", [
    b'{"do":"kill","names":["web1"],"signal":99999999999999999999}', b'{"do":"kill","names":["web1"],"signal":0}',
    b'{"do":"kill","names":["web1"],"signal":65}', b'{"do":"dance","names":[]}', b'{"do":"kill","names":["\xff"]}', b"",
    b'{"do":"kill","names":' + b"[" * 60_000])
def test_what_is_no_order_is_answered_with_the_mistake(supervisor: Supervisor, line: bytes) -> None:
    assert supervisor.ask(line + b"\n").error
    assert supervisor.obeyed == []


@given(st.binary(max_size=200))
@examples(50)
def test_any_octets_are_answered(supervisor: Supervisor, octets: bytes) -> None:
    supervisor.ask(octets + b"\n")


@pytest.mark.parametrize(("error", "told"), [
    (KeyError("web9"), "the order may be carried out in part, by an error in atmdepot itself: KeyError: 'web9'"),
    (NetlinkError(19, "gone"), "the order may be carried out in part, by an error in atmdepot itself: NetlinkErr"),
    (OSError(), "OSError")])
def test_an_order_at_which_the_supervisor_fails_is_answered_and_the_lab_goes_on(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str,
) -> None:
    def fail(_: Order) -> None:
        raise error

    monkeypatch.setattr(supervisor, "obey", fail)
    assert supervisor.ask(b'{"do":"cut","names":["web1.wire"]}\n').error.startswith(told)
    monkeypatch.undo()
    assert supervisor.ask(b'{"do":"restore","names":[]}\n') == Answer()
    supervisor.obeyed.clear()


def test_a_client_that_sends_an_octet_now_and_then_is_told_and_let_go(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orders, "_READ_TIME", 0.3)
    stop = threading.Event()
    with supervisor.connect() as client:
        def drip() -> None:
            with suppress(OSError):
                for _ in range(50):
                    client.sendall(b" ")
                    if stop.wait(0.05):
                        break

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        supervisor.answer()
        taken = time.monotonic() - began
        stop.set()
        thread.join()
        assert taken < 2
        assert msgspec.json.decode(client.recv(65536), type=Answer).error.startswith("no order came within")
