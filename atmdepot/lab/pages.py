"""The pages that every web server of the lab serves: the same octets at each run, on each server.

A page is numbered lines, so that an octet that is lost, doubled or in the wrong place changes it, and so that
whoever reads the cells of a request sees where in the page each one lies.
"""

from __future__ import annotations

SIZES = {"100B": 100, "1KB": 1024, "10KB": 10 * 1024, "10MB": 10 * 1024 * 1024}
"""Name and octets of each page; its path on the servers is `/NAME`."""

_LINE = 64


def page(name: str) -> bytes:
    """The octets of a page (`page("10KB")`); raise KeyError when there is no such page."""
    size = SIZES[name]
    lines = (_line(name, number) for number in range(-(-size // _LINE)))
    return b"".join(lines)[:size]


def own_pages(server: str) -> dict[str, bytes]:
    """The pages that tell a server from the others: `index.html` and `server`."""
    html = (f"<!doctype html>\n<title>{server}</title>\n<h1>{server}</h1>\n"
            + "".join(f"<p><a href=\"/{name}\">{name}</a></p>\n" for name in SIZES))
    return {"index.html": html.encode(), "server": f"{server}\n".encode()}


def _line(name: str, number: int) -> bytes:
    text = f"{name} line {number:06d} at octet {number * _LINE:08d} "
    return text.encode().ljust(_LINE - 1, b".") + b"\n"
