"""Orders to a lab's supervisor: whatever comes on the socket, the lab goes on."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.lab.orders import SOCKET, Answer, Order, OrderServer
from tests.effort import examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Supervisor:
    """A server of orders, and what it was told to do."""

    def __init__(self, directory: Path) -> None:
        self.obeyed: list[Order] = []
        self._path = directory / SOCKET
        self._server = OrderServer(directory, self.obeyed.append)

    def ask(self, octets: bytes) -> Answer:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(self._path))
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
            self._server.answer()
            return msgspec.json.decode(client.recv(65536), type=Answer)

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
