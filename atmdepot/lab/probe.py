"""Fetch a page from each service address of a VC table until it has come.

The probe runs at the client: in the lab as `python -m atmdepot.lab.probe TABLE SECONDS`, which starts faster, and in
the testbed of containers as `atmdepot ready TABLE`.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING

import click

from atmdepot.config.reading import load
from atmdepot.errors import NotReady
from atmdepot.lab.pages import ORIGIN, page
from atmdepot.options import Seconds

if TYPE_CHECKING:
    from atmdepot.config.model import Network

PAGE = "100B"
_TRY = 1.0
"""Seconds until a try counts as lost; the kernel repeats its SYN only a second later."""

_PAUSE = 0.05
_TIMES_A_SET = 8
"""Fetches in a row, for each of several sets, after which all sets were met with next to certainty."""


def fetch(address: str, port: int, name: str, timeout: float, origin: str = "") -> bytes:
    """Fetch a page's octets by HTTP/1.0 over a plain socket; raise OSError when it does not come.

    With an `origin` the address is that of a proxy, which is asked for the origin's page.
    """
    host = origin or (f"[{address}]" if ":" in address else address)
    prefix = f"http://{origin}" if origin else ""
    with socket.create_connection((address, port), timeout) as connection:
        connection.sendall(f"GET {prefix}/{name} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        # HTTP/1.0: the server closes the connection at the end of the page.
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].decode("latin-1")
    if status.split()[1:2] != ["200"]:
        raise OSError(f"the answer is {status!r}")
    return body


def wait_for(address: str, port: int, deadline: float, times: int = 1, origin: str = "") -> str | None:
    """Fetch until the whole page has come, so many times in a row, and return None; at the deadline the last failure.

    Where routes lead over several sets of depots, each fetch takes one of them by its port.
    """
    came = 0
    while True:
        left = deadline - time.monotonic()
        # Past the deadline a last short try still gives the reason.
        try:
            if fetch(address, port, PAGE, max(0.01, min(_TRY, left)), origin) == page(PAGE):
                came += 1
                if came >= times:
                    return None
                continue
            reason = f"the octets of /{PAGE} are not those of the page"
        except OSError as error:
            reason = error.strerror or str(error)
        came = 0
        if left <= 0:
            return reason
        time.sleep(_PAUSE)


def wait_for_all(network: Network, seconds: float) -> None:
    """Wait for a page from every service address and port; raise NotReady with the reason of each failure."""
    deadline = time.monotonic() + seconds
    targets = dict.fromkeys((str(vip), port, ORIGIN if service.proxies else "") for service in network.services.values()
                            if "tcp" in service.offered for vip in service.vip for port in service.ports or [80])
    times = 1 if len(network.sets) == 1 else _TIMES_A_SET * len(network.sets)
    failed = [f"{address} port {port}: {reason}" for address, port, origin in targets
              if (reason := wait_for(address, port, deadline, times, origin))]
    if failed:
        raise NotReady(f"no page in time from {'; '.join(failed)}")


@click.command("ready", epilog="\b\nExample:\n  atmdepot ready compose --timeout 60\n")
@click.argument("table")
@click.option("--timeout", type=Seconds(), default=30.0, show_default=True,
              metavar="SECONDS", help="How long that may take (then exit code 4).")
def ready_command(table: str, timeout: float) -> None:
    """At a client: wait until a page has come from each service.

    Every octet must be right. The services are those of the VC table TABLE; the page is one that the web servers of
    lab and testbed have.
    """
    wait_for_all(load(table), timeout)


def main() -> None:
    """Wait as the command line says; on failure print the reasons and exit with 4."""
    table, seconds = sys.argv[1:]
    try:
        wait_for_all(load(table), float(seconds))
    except NotReady as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
