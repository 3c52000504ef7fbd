"""Python's own web server, for machines without nginx: `python -m atmdepot.lab.web_server HOME NAME PORT...`.

It serves HOME/www with keep-alive, names itself in `X-Served-By` and logs to HOME/access.log in nginx's format.
"""

from __future__ import annotations

import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from atmdepot.lab.pages import MAX_AGE, ORIGIN

_TYPES = {"index.html": "text/html", "server": "text/plain"}


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD with the pages of its server."""

    protocol_version = "HTTP/1.1"
    # Header and page go out in two writes; Nagle's algorithm would hold back the second write.
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """Send a page."""
        page = self._send_head()
        if page and self.command == "GET":
            self.wfile.write(page)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _send_head(self) -> bytes:
        name = self.path.partition("?")[0].removeprefix("/") or "index.html"
        page = self.server.pages.get(name)
        status = HTTPStatus.NOT_FOUND if page is None else HTTPStatus.OK
        body = page if page is not None else b"no such page\n"
        self.log_request(status, len(body))
        self.send_response_only(status)
        self.send_header("Content-Type", _TYPES.get(name, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Served-By", self.server.name)
        if self.server.name == ORIGIN:
            self.send_header("Date", self.date_time_string())  # squid keeps no page without it
            self.send_header("Cache-Control", f"max-age={MAX_AGE}")
        self.end_headers()
        return body

    def address_string(self) -> str:
        """The client's address; an IPv4 address without the prefix of an IPv6 socket."""
        return str(self.client_address[0]).removeprefix("::ffff:")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log a request in the format of the lab's nginx."""
        code = code.value if isinstance(code, HTTPStatus) else code
        here = str(self.connection.getsockname()[0]).removeprefix("::ffff:")
        self.server.log.write(f'{self.address_string()} {here} "{self.requestline}" {code} {size}\n')


class Server(ThreadingHTTPServer):
    """Web server on all addresses of the namespace, IPv4 and IPv6, with a thread for each connection."""

    request_queue_size = 4096  # as the backlog of the lab's nginx

    def __init__(self, home: Path, name: str, port: int) -> None:
        self.name = name
        self.pages = {file.name: file.read_bytes() for file in (home / "www").iterdir()}
        self.log = (home / "access.log").open("a", buffering=1, encoding="utf-8")
        self.address_family = socket.AF_INET6 if _has_ipv6() else socket.AF_INET
        super().__init__(("::" if _has_ipv6() else "0.0.0.0", port), Handler, bind_and_activate=False)
        if _has_ipv6():
            # A single socket takes both IP versions.
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.server_bind()
        self.server_activate()

    def server_bind(self) -> None:
        """Bind without http.server's look-up of the host name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.name, self.server_address[1]

    def server_close(self) -> None:
        """Close the socket and the log."""
        super().server_close()
        self.log.close()


def serve(home: Path, name: str, ports: list[int]) -> list[Server]:
    """Start a server on each port, each in a thread of its own."""
    servers = [Server(home, name, port) for port in ports]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return servers


def _has_ipv6() -> bool:
    return Path("/proc/net/if_inet6").exists()


def main() -> None:
    """Serve until the process is killed."""
    home, name, *ports = sys.argv[1:]
    serve(Path(home), name, [int(port) for port in ports])
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
