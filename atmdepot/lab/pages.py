"""Pages that every web server of the lab serves: the same octets in each run, on each server.

A page consists of numbered lines. A lost, doubled or misplaced octet changes it, and a reader of a request's cells
sees the place of each cell in the page.
"""

from __future__ import annotations

ORIGIN = "origin"
"""The name of the web server from which caching proxies fetch; proxies may keep its pages for `MAX_AGE`."""

MAX_AGE = 3600
"""Seconds."""

SIZES = {"100B": 100, "1KB": 1024, "10KB": 10 * 1024, "10MB": 10 * 1024 * 1024}
"""Octets of each page by name; its path on the servers is `/NAME`."""

_LINE = 64


def page(name: str) -> bytes:
    """Octets of a page (`page("10KB")`); raise KeyError for an unknown name."""
    size = SIZES[name]
    lines = (_line(name, number) for number in range(-(-size // _LINE)))
    return b"".join(lines)[:size]


def own_pages(server: str) -> dict[str, bytes]:
    """Pages that identify a server: `index.html` and `server`."""
    html = (f"<!doctype html>\n<title>{server}</title>\n<h1>{server}</h1>\n"
            + "".join(f"<p><a href=\"/{name}\">{name}</a></p>\n" for name in SIZES))
    return {"index.html": html.encode(), "server": f"{server}\n".encode()}


def _line(name: str, number: int) -> bytes:
    text = f"{name} line {number:06d} at octet {number * _LINE:08d} "
    return text.encode().ljust(_LINE - 1, b".") + b"\n"
