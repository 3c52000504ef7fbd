"""Waiting for pages: the one way in which the lab and the testbed know that a network carries requests."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import load
from atmdepot.errors import NotReady
from atmdepot.lab import probe
from atmdepot.lab.pages import page
from atmdepot.lab.probe import wait_for_all
from tests.lab.labs import atmdepot
from tests.net.ends import fresh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network

GOOD = b"HTTP/1.0 200 OK\r\n\r\n" + page(probe.PAGE)


@contextlib.contextmanager
def server(answer: bytes) -> Iterator[tuple[str, int]]:
    """A server on an address of its own that answers every connection so."""
    host = fresh().host
    with socket.create_server((host, 0)) as listener:
        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield host, listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def table(*services: tuple[str, int]) -> Network:
    network = load("direct")
    [one] = network.services.values()
    network.services = {f"s{number}": type(one)(vip=[host], ports=[port], servers=one.servers)  # type: ignore[list-item]
                        for number, (host, port) in enumerate(services)}
    return network


def test_it_waits_for_every_service_address() -> None:
    with server(GOOD) as one, server(GOOD) as other:
        wait_for_all(table(one, other), 10)


@pytest.mark.parametrize(("answer", "said"), [
    (GOOD[:-1], "the octets of /100B are not those of the page"), (b"HTTP/1.0 503 No\r\n\r\n", "the answer is "),
    (b"", "the answer is ''"),
])
def test_an_address_without_a_good_page_is_named(answer: bytes, said: str) -> None:
    with server(GOOD) as good, server(answer) as bad, pytest.raises(NotReady) as caught:
        wait_for_all(table(good, bad), 0.2)
    assert str(caught.value).startswith(f"no page in time from {bad[0]} port {bad[1]}: {said}")
    assert good[0] not in str(caught.value)


def test_a_closed_port_is_reported() -> None:
    nobody = fresh().host
    with pytest.raises(NotReady, match=f"^no page in time from {nobody} port 9: Connection refused$"):
        wait_for_all(table((nobody, 9)), 0.1)


@pytest.mark.namespaces
def test_ready_at_the_client_of_a_lab(lab_environment: dict[str, str]) -> None:
    assert atmdepot("lab", "up", "compose", env=lab_environment).returncode == 0
    client = ("lab", "exec", "client", "--", sys.executable, "-P", "-m", "atmdepot", "ready")
    assert atmdepot(*client, "compose", env=lab_environment).returncode == 0
    late = atmdepot(*client, "two-hosts", "--timeout", "0.5", env=lab_environment)
    assert late.returncode == 0  # it has the same service address
    pages = atmdepot("lab", "exec", "depot", "--", "curl", "-sS", "http://127.0.0.1:9464/readyz", env=lab_environment)
    assert pages.stdout == "ready\n"
    atmdepot("lab", "exec", "web1", "--", "ip", "link", "set", "atm0", "down", env=lab_environment)
    gone = atmdepot(*client, "direct", "--timeout", "0.5", env=lab_environment)
    assert gone.returncode == 4
    assert gone.stderr.startswith("atmdepot: no page in time from fd00:80::1 port 80: ")
    assert atmdepot("lab", "down", env=lab_environment).returncode == 0
