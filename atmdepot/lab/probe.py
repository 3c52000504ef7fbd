"""Ask web servers for a page until each has answered: `python -m atmdepot.lab.probe SECONDS ADDRESS PORT...`.

It runs at the client. It prints a line for each server that has not answered in time, and then exits with 4.
"""

from __future__ import annotations

import socket
import sys
import time

from atmdepot.lab.pages import page

PAGE = "100B"
_TRY = 1.0
"""Seconds until a try counts as lost; the kernel would only repeat its SYN a second later."""

_PAUSE = 0.05


def fetch(address: str, port: int, name: str, timeout: float) -> bytes:
    """The octets of a page, by HTTP/1.0 over a plain socket; raise OSError when it does not come."""
    host = f"[{address}]" if ":" in address else address
    with socket.create_connection((address, port), timeout) as connection:
        connection.sendall(f"GET /{name} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].decode("latin-1")
    if status.split()[1:2] != ["200"]:
        raise OSError(f"the answer is {status!r}")
    return body


def wait_for(address: str, port: int, deadline: float) -> str | None:
    """Ask until the page has come whole (None) or time is up (why the last try failed)."""
    while True:
        left = deadline - time.monotonic()
        try:
            if fetch(address, port, PAGE, max(0.01, min(_TRY, left))) == page(PAGE):
                return None
            reason = f"the octets of /{PAGE} are not those of the page"
        except OSError as error:
            reason = error.strerror or str(error)
        if left <= 0:
            return reason
        time.sleep(_PAUSE)


def main() -> None:
    """Wait for every address and port of the command line."""
    seconds, *targets = sys.argv[1:]
    deadline = time.monotonic() + float(seconds)
    failed = False
    for address, port in zip(targets[::2], targets[1::2], strict=True):
        if reason := wait_for(address, int(port), deadline):
            failed = True
            sys.stdout.write(f"{address} port {port}: {reason}\n")
    sys.exit(4 if failed else 0)


if __name__ == "__main__":
    main()
