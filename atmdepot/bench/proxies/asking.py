"""The clients of `bench proxies`: `python -m atmdepot.bench.proxies.asking JSON`, in a node of the lab.

Several requests are on their way at once, each on a connection of its own, which is a session of the depot's. Each
client is an address of its own, where the task has a network for them. The result is printed as JSON.
"""

from __future__ import annotations

import sys
import time
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import msgspec
import trio
from msgspec import Struct
from pyroute2 import IPRoute

from atmdepot.bench.proxies.documents import Asking, octets_of
from atmdepot.lab.load_client import fields_of, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 30.0
_PREFIX = 24
_FIRST = 100
"""The host number of the first client."""


class Task(Struct, frozen=True):
    """Whom to ask for what: a proxy, or without one the origin itself."""

    asking: Asking
    seed: int
    address: str
    port: int
    origin: str
    by_proxy: bool = True
    at_once: int = 12
    network: str = ""


class Answers(Struct):
    """The answers: seconds of each, those from a cache, those of each proxy; requests that failed, and why the last."""

    seconds: list[float] = []
    hits: int = 0
    by_proxy: dict[str, int] = {}
    failed: int = 0
    trouble: str = ""
    took: float = 0.0


async def ask_all(task: Task) -> Answers:
    """Ask for every document of the task."""
    answers, requests = Answers(), task.asking.draw(task.seed)
    sources = _sources(task)
    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(task.at_once):
            nursery.start_soon(_ask_some, task, requests, sources, answers)
    answers.took = time.perf_counter() - began
    return answers


async def _ask_some(task: Task, requests: Iterator[tuple[int, str]], sources: list[str], answers: Answers) -> None:
    for client, path in requests:
        began = time.perf_counter()
        try:
            with trio.fail_after(_PATIENCE):
                answer = await _ask(task, path, sources[client] if sources else "")
        except (OSError, trio.TooSlowError) as error:
            answers.failed, answers.trouble = answers.failed + 1, str(error) or "no whole answer in time"
            continue
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or len(body) != octets_of(path):
            answers.failed, answers.trouble = answers.failed + 1, head[:40].decode("latin-1").split("\r\n")[0]
            continue
        answers.seconds.append(time.perf_counter() - began)
        fields = fields_of(head.decode("latin-1").split("\r\n")[1:])
        answers.hits += fields.get("x-cache", "").startswith("HIT")
        if proxy := fields.get("x-served-by"):
            answers.by_proxy[proxy] = answers.by_proxy.get(proxy, 0) + 1


async def _ask(task: Task, path: str, source: str) -> bytes:
    with trio.socket.socket() as connection:
        if source:
            await connection.bind((source, 0))
        await connection.connect((task.address, task.port))
        url = f"http://{task.origin}{path}" if task.by_proxy else path
        await connection.send(f"GET {url} HTTP/1.0\r\nHost: {task.origin}\r\n\r\n".encode())
        answer = bytearray()
        while part := await connection.recv(65536):
            answer += part
        return bytes(answer)


def _sources(task: Task) -> list[str]:
    """The clients' addresses, which this node gets if it lacks them."""
    if not task.network:
        return []
    found = [str(IPv4Network(task.network)[_FIRST + client]) for client in range(task.asking.clients)]
    with IPRoute() as ip:
        own = {address.get_attr("IFA_ADDRESS"): address["index"] for address in ip.get_addr(family=2)}
        index = next(number for address, number in own.items() if IPv4Address(address) in IPv4Network(task.network))
        for address in found:
            if address not in own:
                ip.addr("add", index=index, address=address, prefixlen=_PREFIX)
    return found


def main() -> None:
    """Do the task of the command line."""
    task = msgspec.json.decode(sys.argv[1], type=Task)
    tell(msgspec.json.encode(trio.run(ask_all, task)))


if __name__ == "__main__":
    main()
