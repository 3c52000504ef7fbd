"""The formats of a link's datagrams: a row for each, by its name in a VC table (`format`).

A new format takes its class in `wire/`, its row here, and its name and keys in `config/links.py`. Tables are checked
without the data path, so only the functions that make datagrams or measure them import `wire`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.config.links import Link
    from atmdepot.wire.link_format import LinkFormat

_MPLS_PORT = 6635
"""The UDP port of MPLS-in-UDP (RFC 7510), as in `wire/pseudowire.py`; a test compares the two."""

LinkProblem = tuple[tuple[str, ...], str]
"""The keys in a link that are wrong together, and a message that says what would be right."""


class End(NamedTuple):
    """An end of a link: its node, the far node, the link's key if it has one, and the wall clock in ns."""

    own: str
    far: str
    key: bytes
    clock: int


class Format(NamedTuple):
    """A format, as the rules, `check` and a daemon need it."""

    size: Callable[[Link], int]
    """Octets of the longest datagram."""
    make: Callable[[Link, End], LinkFormat | None]
    """The format of an end; None for plain cells."""
    text: Callable[[Link], str]
    """The format in words."""
    problems: Callable[[Link], Iterator[LinkProblem]]
    """The mistakes in a link of this format."""


def _cells_size(link: Link) -> int:
    from atmdepot.wire.cell import CELL_SIZE
    from atmdepot.wire.link_tag import LinkTag

    return LinkTag.size(link.cells) if link.has_key else CELL_SIZE * link.cells


def _make_cells(link: Link, end: End) -> LinkFormat | None:
    from atmdepot.wire.link_tag import LinkTag, direction_of

    # The wall clock, so that no tag repeats after a restart.
    return LinkTag(end.key, direction_of(end.own, end.far), end.clock) if link.has_key else None


def _cells_problems(link: Link) -> Iterator[LinkProblem]:
    if link.own_label is not None:
        yield ("label",), "a link of cells has no label: leave it out, or write format = \"pwe3\""


def _pseudowire_size(link: Link) -> int:
    from atmdepot.wire.pseudowire import Pseudowire

    return Pseudowire.size(link.cells)


def _make_pseudowire(link: Link, _: End) -> LinkFormat:
    from atmdepot.wire.pseudowire import Pseudowire

    return Pseudowire(link.label)


def _pseudowire_problems(link: Link) -> Iterator[LinkProblem]:
    """The ends have MPLS-in-UDP's port, and the link has no key."""
    for node, address in link.ends.items():
        if address.port != _MPLS_PORT:
            yield ("ends", node), (f"port {address.port} is not that of MPLS-in-UDP, by which receivers know a "
                                   f"pseudowire (RFC 7510): write port {_MPLS_PORT}")
    if link.has_key:
        yield ("format",), "RFC 4717 has no tag: leave the key out, or write format = \"cells\""


FORMATS: dict[str, Format] = {
    "cells": Format(_cells_size, _make_cells, lambda link: link.format, _cells_problems),
    "pwe3": Format(_pseudowire_size, _make_pseudowire, lambda link: f"{link.format}, label {link.label}",
                   _pseudowire_problems),
}
