"""The origin of `bench proxies`: `python -m atmdepot.bench.proxies.origin PORT DELAY_MS`, in the origin's node.

Each document comes after a delay, in place of the distance to an origin, and may be kept for an hour. At the end of its
standard input it prints how many requests and octets there were.
"""

from __future__ import annotations

import sys
from email.utils import formatdate
from functools import partial

import msgspec
import trio
from msgspec import Struct

from atmdepot.bench.proxies.documents import octets_of

_LONGEST = 8192
_PATIENCE = 10.0


class OriginLoad(Struct):
    """The requests that the origin answered, and the octets of their documents."""

    requests: int = 0
    octets: int = 0


async def answer(load: OriginLoad, delay: float, stream: trio.abc.Stream) -> None:
    """Answer one request, and close."""
    async with stream:
        try:
            with trio.fail_after(_PATIENCE):
                asked = b""
                while b"\r\n\r\n" not in asked and len(asked) < _LONGEST and (part := await stream.receive_some()):
                    asked += part
            size = octets_of(asked.split(b" ", 2)[1].decode("ascii"))
        except (IndexError, ValueError, trio.TooSlowError, trio.BrokenResourceError):
            return
        load.requests, load.octets = load.requests + 1, load.octets + size
        await trio.sleep(delay)
        # Squid keeps no document without a date.
        head = (f"HTTP/1.1 200 OK\r\nDate: {formatdate(usegmt=True)}\r\nCache-Control: max-age=3600\r\n"
                f"Content-Length: {size}\r\nConnection: close\r\n\r\n")
        try:
            await stream.send_all(head.encode() + b"." * size)
        except trio.BrokenResourceError:
            return


async def serve(port: int, delay: float) -> None:
    """Serve until standard input ends, and print the load."""
    load = OriginLoad()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_tcp, partial(answer, load, delay), port))
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()
    sys.stdout.write(msgspec.json.encode(load).decode() + "\n")


def main() -> None:
    """Serve as the command line says."""
    port, delay_ms = sys.argv[1:]
    trio.run(serve, int(port), float(delay_ms) / 1000)


if __name__ == "__main__":
    main()
