"""Rows of `atmdepot show impairments`."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from atmdepot.net.agents.rows import Row


class ImpairmentRow(Row, gc=False):
    """A direction of a link, from `node` to `to`: what its line does, by the table and by `atmdepot impair` (`live`).

    The values from `rate_cps` to `reordering` are those in force; ratios are of cells (of frames on Frame Relay) or of
    bits. `lost` to `bits_flipped` count what the line did to cells. A link of Frame Relay has those of frames alone.
    """

    narrow = ("node", "link", "to", "table", "live", "lost", "bits_flipped", "misinserted", "reordered")

    node: str
    link: str
    to: str
    table: str
    live: str
    rate_cps: int | UnsetType | None = UNSET
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    header_bit_errors: float = 0.0
    payload_bit_errors: float = 0.0
    misinsertion: float | UnsetType = UNSET
    reordering: float | UnsetType = UNSET
    lost: int = 0
    bits_flipped: int | UnsetType = UNSET
    misinserted: int | UnsetType = UNSET
    reordered: int | UnsetType = UNSET


ROWS: dict[str, type[Row]] = {"impairments": ImpairmentRow}
