"""The source of the figures of `atmdepot top`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.view.details import Detail
    from atmdepot.view.ticks import Tick


class Source(Protocol):
    """A network that is watched: `Background`, and in tests one that does not change."""

    network: Network

    def ticks(self) -> tuple[Tick, ...]:
        """The ticks of the last minute."""

    def vcs(self) -> list[dict[str, Any]]:
        """The VCs of all nodes."""

    def sessions(self) -> list[tuple[str, dict[str, Any]]]:
        """The sessions of all depots."""

    def detail(self, kind: str, name: str) -> Detail:
        """The details of a thing."""

    def tree(self, link: str, time: int, octets: bytes) -> str:
        """The tree of a cell's PDU."""
