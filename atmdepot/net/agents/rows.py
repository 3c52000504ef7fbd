"""Rows of `atmdepot show`: the columns of a subject, their order and their types, in a single place for each.

The names of the columns are stable: they are the keys of the JSON that scripts read. Commands import these modules
without the data path, so they hold plain values only.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import fields


class Row(Struct, gc=False):
    """A row about a node. A column that is unset is left out of the row."""

    narrow: ClassVar[tuple[str, ...]] = ()
    """The columns that fit a terminal of 80 columns."""
    narrow_where_known: ClassVar[tuple[str, ...]] = ()
    """Columns that follow those when a row has a value of them."""
    wide: ClassVar[tuple[str, ...]] = ()
    """Further columns, which fill a wider terminal: those that are wanted most come first."""

    @classmethod
    def columns(cls) -> list[str]:
        """The names of all columns, in order."""
        return [column.encode_name for column in fields(cls)]


class VcRow(Row, gc=False, kw_only=True):
    """An open VC. `carries` is its client's end of the flow, its circuit's place in the VC table, or `many`.

    `fcs` and `far_mac` are of bridged VCs: the key of the VC table, and the far node's MAC address where it is known.
    `lost`, `misinserted` and `errored` are the cells of its whole VP where that has performance monitoring.
    `conforming` cells left within its contract, `tagged` ones with CLP 1 in place of 0; `dropped` ones found no
    room before its contract or link. `refused` is the contract for which the link had no rate left.

    At a switch it is a cross-connect, of a VC or of a whole VP: `carries` is its place in the VC table, `to` has the
    places where its cells leave, `rx_cells` came in and `tx_cells` entered the outputs, `tagged` and `policed` (what
    was discarded) are its policer's, `dropped` its output queues', and `live` says that the table does not have it.
    """

    narrow = ("node", "vc", "category", "carries", "to", "tx_pdus", "tx_cells", "rx_pdus", "rx_cells")

    node: str
    link: str
    vc: str
    category: str
    contract: str
    encapsulation: str | UnsetType = UNSET
    fcs: str | UnsetType = UNSET
    far_mac: str | UnsetType = UNSET
    crc: str | UnsetType = UNSET
    carries: str
    tx_pdus: int | UnsetType = UNSET
    tx_cells: int
    rx_pdus: int | UnsetType = UNSET
    rx_cells: int
    rx_clp1_pdus: int | UnsetType = UNSET
    rx_efci_pdus: int | UnsetType = UNSET
    to: str | UnsetType = UNSET
    conforming: int | UnsetType = UNSET
    tagged: int | UnsetType = UNSET
    policed: int | UnsetType = UNSET
    dropped: int | UnsetType = UNSET
    lost: int | UnsetType = UNSET
    misinserted: int | UnsetType = UNSET
    errored: int | UnsetType = UNSET
    live: bool | UnsetType = UNSET
    refused: str | UnsetType = UNSET


class LinkRow(Row, gc=False):
    """A link, or another port of the node: `medium` is what crosses it, and `peer` is what it leads to.

    The columns from `tx_datagrams` on are those of a UDP link, and those of cells are unset for a port of frames, whose
    frames are counted as PDUs. A switch sees no PDUs, so theirs are unset there.
    """

    narrow = ("node", "link", "tx_cells", "rx_cells", "tx_pdus", "rx_pdus", "drops", "trouble", "last_error")

    node: str
    link: str
    peer: str
    medium: str
    cells: int | UnsetType = UNSET
    rate: str | UnsetType = UNSET
    burst: int | UnsetType = UNSET
    delay: str | UnsetType = UNSET
    impaired: bool | UnsetType = UNSET
    tx_cells: int | UnsetType = UNSET
    rx_cells: int | UnsetType = UNSET
    tx_pdus: int | UnsetType = UNSET
    rx_pdus: int | UnsetType = UNSET
    hec_corrected: int | UnsetType = UNSET
    drops: int = 0
    tx_datagrams: int | UnsetType = UNSET
    rx_datagrams: int | UnsetType = UNSET
    udp_segment: bool | UnsetType = UNSET
    udp_segment_refused: int | UnsetType = UNSET
    udp_gro: bool | UnsetType = UNSET
    key: bool | UnsetType = UNSET
    format: str | UnsetType = UNSET
    interfaces: str | UnsetType = UNSET
    trouble: str | UnsetType = UNSET
    last_error: str | UnsetType = UNSET


class QueueRow(Row, gc=False):
    """A queue of a link's output, in cells; see `QueueCounts` in `bearer/base.py`."""

    narrow = ("node", "link", "queue", "room", "held", "most", "shaped", "left", "dropped", "marked")

    node: str
    link: str
    queue: str
    room: int
    held: int
    most: int
    shaped: int
    entered: int
    left: int
    dropped: int
    marked: int


class CounterRow(Row, gc=False):
    """A counter of a place in the node: a link, a VP, or a part of the node by its name."""

    narrow = ("node", "place", "counter", "value", "unit", "meaning")

    node: str
    place: str
    counter: str
    value: int
    unit: str
    meaning: str = ""


class OamRow(Row, gc=False):
    """An OAM flow that ends or is looked at here: F4 of a VP, F5 of a VC.

    `state` has the conditions in force (`ok` without any), `for_s` the seconds since it changed. `continuity` is
    `both`, `sends`, `expects` or `off`. `ais` to `other` count cells that came, `sent` those that went. The rest is
    performance monitoring, unset without it: cells lost, misinserted and errored bits of what came here (`near`) and of
    what the far end tells (`far`).
    """

    narrow = ("node", "link", "vp", "vc", "flow", "state", "continuity", "ais", "rdi", "cc", "loopbacks", "sent")

    node: str
    link: str
    vp: str
    vc: str
    flow: str
    state: str
    why: str
    since: float | UnsetType = field(name="for_s", default=UNSET)
    continuity: str = "off"
    ais: int = 0
    rdi: int = 0
    cc: int = 0
    loopbacks: int = 0
    other: int = 0
    sent: int = 0
    near_lost: int | UnsetType = UNSET
    near_misinserted: int | UnsetType = UNSET
    near_errors: int | UnsetType = UNSET
    near_blocks: int | UnsetType = UNSET
    far_lost: int | UnsetType = UNSET
    far_misinserted: int | UnsetType = UNSET
    far_errors: int | UnsetType = UNSET
    far_blocks: int | UnsetType = UNSET


class ProtectionRow(Row, gc=False):
    """A protected VP at its end here: `selected` is the route taken, `request` what decides so.

    `working` and `protection` are the routes' links here with their VPIs, and the conditions in force on them (`ok`
    without any). `for_s` is the seconds since the last switch, `why` its request. `not_selected` are cells that came on
    the other route (in 1+1 copies), `aps` APS cells, which are counted and not answered.
    """

    narrow = ("node", "vp", "architecture", "selected", "request", "working_state", "protection_state", "switches",
              "for_s")

    node: str
    vp: str
    architecture: str
    selected: str
    request: str
    working: str
    working_state: str
    protection: str
    protection_state: str
    switches: int
    since: float | UnsetType = field(name="for_s", default=UNSET)
    why: str = ""
    wait_to_restore: float = field(name="wait_to_restore_s", default=0.0)
    not_selected: int = 0
    aps: int = 0


ROWS: dict[str, type[Row]] = {"vcs": VcRow, "links": LinkRow, "queues": QueueRow, "counters": CounterRow,
                             "oam": OamRow, "protection": ProtectionRow}
"""The subjects that every kind of node has."""
