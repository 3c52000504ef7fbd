"""The client, against a server that answers as each test wants."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from atmdepot.lab.pages import page
from atmdepot.scenario.asking import Answers, Asker, Asking

if TYPE_CHECKING:
    from collections.abc import Iterator

Serve = Callable[[socket.socket], None]


def answer(body: bytes, head: str = "HTTP/1.1 200 OK", length: int | None = None) -> bytes:
    return f"{head}\r\nX-Served-By: web1\r\nContent-Length: {length or len(body)}\r\n\r\n".encode() + body


def once(octets: bytes) -> Serve:
    """Answer one request with these octets, and hang up."""
    def serve(connection: socket.socket) -> None:
        if connection.recv(65536):
            connection.sendall(octets)

    return serve


def again_and_again(connection: socket.socket) -> None:
    while connection.recv(65536):
        connection.sendall(answer(page("100B")))


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def asked(port: int, **more: Any) -> Answers:
    """The answers to requests while the commands do not end."""
    asking = Asking(**({"targets": [("127.0.0.1", port)], "page": "100B", "clients": 1, "requests": 3} | more))
    lines: list[bytes] = []
    here, there = socket.socketpair()
    with here, there:
        answers = Asker(asking, here.fileno(), lines.append).run()
    assert lines == [b"READY"]
    return answers


def test_requests_are_answered_and_counted_by_server() -> None:
    with server(once(answer(page("100B")))) as port:
        got = asked(port, clients=2, requests=5)
    assert (sum(got.answered), sum(got.failed), got.lost, got.octets) == (5, 0, 0, 500)
    assert (got.served, len(got.took)) == ({"web1": 5}, 5)
    assert got.gap <= got.ended - got.began


def test_a_kept_connection_serves_all_requests() -> None:
    with server(again_and_again) as port:
        got = asked(port, kept=True, requests=4)
    assert (sum(got.answered), got.lost) == (4, 0)


@pytest.mark.parametrize(("octets", "reason"), [
    (answer(b"x" * 100), "wrong octets"), (answer(page("100B")[:99]), "wrong octets"),
    (answer(page("100B") + b"x", length=100), "wrong octets"), (b"hello\r\n\r\n", "the answer is 'hello'"),
    (answer(b"", "HTTP/1.1 503 no"), "the answer is 'HTTP/1.1 503 no'"), (b"", "closed before its end"),
    (b"HTTP/1.1 200 OK\r\n\r\n", "an answer without its length"), (b"x" * 70_000, "no answer of HTTP"),
    (answer(page("100B")[:50], length=100), "closed before its end"),
])
def test_what_is_no_whole_page_is_a_failure_with_its_reason(octets: bytes, reason: str) -> None:
    with server(once(octets)) as port:
        got = asked(port, requests=1)
    assert (sum(got.answered), sum(got.failed)) == (0, 1)
    assert list(got.reasons)[:1] == [reason] or "reset" in str(got.reasons)


def test_a_port_without_a_server_fails_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert asked(port, requests=1).reasons == {"Connection refused": 1}


def test_a_request_without_an_answer_is_too_late() -> None:
    with server(lambda connection: threading.Event().wait(1) and None) as port:
        assert asked(port, requests=1, patience=0.1).reasons == {"too late": 1}


def test_it_ends_with_its_time_or_its_commands() -> None:
    with server(again_and_again) as port:
        assert sum(asked(port, kept=True, requests=0, seconds=0.2, every=0.01).answered) >= 1
        here, there = socket.socketpair()
        with here:
            asking = Asking([("127.0.0.1", port)], "100B", 1)
            assert sum(Asker(asking, here.fileno(), lambda _: there.close()).run().answered) >= 1


def test_as_many_clients_may_ask_as_the_machine_has_descriptors_for() -> None:
    few = f"ulimit -S -n 64; exec {sys.executable} -P -m atmdepot.scenario.asking"
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent, subprocess.Popen(
            ["sh", "-c", few], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        asking = Asking([silent.getsockname()], "1KB", clients=100, seconds=0.2)
        client.stdin.write(msgspec.json.encode(asking) + b"\n")
        client.stdin.flush()
        assert msgspec.json.decode(client.stdout.read(), type=Answers).reasons == {}
