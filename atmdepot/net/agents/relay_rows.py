"""Rows of `atmdepot show` for Frame Relay: PVCs, and the LMI of each link."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from atmdepot.net.agents.rows import Row


class DlciRow(Row, gc=False):
    """An open PVC. `carries` is its client's end of the flow, `default`, `management`, or `many`.

    `state` is what the LMI knows of it: `active`, or its trouble. `de`, `fecn` and `becn` count frames with the bit;
    `tagged` came beyond Bc, and a switch would have set DE. `waiting` frames wait for the CIR.
    """

    narrow = ("node", "link", "dlci", "carries", "state", "tx_frames", "rx_frames", "rx_de", "rx_fecn", "rx_becn")

    node: str
    link: str
    dlci: int
    carries: str
    state: str
    tx_frames: int
    rx_frames: int
    tx_de: int
    rx_de: int
    rx_fecn: int
    rx_becn: int
    cir: str | UnsetType = UNSET
    bc: int | UnsetType = UNSET
    be: int | UnsetType = UNSET
    waiting: int | UnsetType = UNSET
    tagged: int | UnsetType = UNSET


class LmiRow(Row, gc=False):
    """The LMI of a link at this end. `side` is `user` (it asks) or `network`; `up` says that the link works.

    `active` and `pvcs` count the PVCs as this side knows them: none before the user side has heard a full status.
    """

    narrow = ("node", "link", "side", "up", "enquiries", "answers", "errors", "active", "pvcs")

    node: str
    link: str
    side: str
    up: bool
    enquiries: int
    answers: int
    errors: int
    sent: int
    heard: int
    active: int
    pvcs: int
    trouble: str = ""


ROWS: dict[str, type[Row]] = {"dlcis": DlciRow, "lmi": LmiRow}
"""The subjects of nodes with links of Frame Relay."""
