"""A whole network under losses, small buffers and loads, kept as a snapshot; and what holds under all of them.

`python -m tests.switch.test_matrix` writes the snapshot anew. All is seeded and in integers, so it is the same on each
machine, compiled and in plain Python.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from atmdepot import build
from atmdepot.drops import DropReason
from tests.switch.congested import PERMANENT, Congested

SNAPSHOT = Path(__file__).with_name("matrix.json")
LOSSES, ROOMS, LOADS = (0.0, 0.001, 0.01), (40, 150, 600), (0.5, 1.0, 2.0)
MATRIX = [*product(LOSSES, ROOMS, LOADS)]
# Plain Python takes longer, and a part of the matrix is enough to tell that it does the same.
CASES = MATRIX if build.is_compiled() else [(0.0, 40, 2.0), (0.01, 150, 1.0)]
NAMES = ["-".join(map(str, case)) for case in CASES]


@cache
def ran(loss: float, room: int, load: float) -> Congested:
    """The network after a run."""
    it = Congested(loss, room)
    it.run(load)
    return it


def outcome(it: Congested) -> dict[str, Any]:
    """The snapshot of a run: counts of drops, and a row for each category."""
    return {"counted": it.counted(), **it.result()}


def name_of(loss: float, room: int, load: float) -> str:
    """A run's name in the snapshot."""
    return f"loss {loss}, room {room}, load {load}"


@cache
def snapshot() -> dict[str, Any]:
    """The snapshot that is kept."""
    kept: dict[str, Any] = json.loads(SNAPSHOT.read_text())
    return kept


@pytest.mark.parametrize(("loss", "room", "load"), CASES, ids=NAMES)
def test_the_network_does_as_it_did(loss: float, room: int, load: float) -> None:
    it = ran(loss, room, load)
    assert outcome(it) == snapshot()[name_of(loss, room, load)]
    _no_packet_is_lost_in_silence(it)
    _every_cell_arrives_or_is_counted(it)
    _discard_goes_by_packets(it)
    _priorities_hold(it)
    assert all(queue.most <= queue.room for node in it.nodes.values() for port in node.links.values()
               for queue in port.queues())


def _no_packet_is_lost_in_silence(it: Congested) -> None:
    """Each packet comes out once, as it was, or is told by the octets of a drop."""
    assert it.wrong == []
    assert [packet for packet in it.packets if packet.came is None and not packet.happened] == []
    assert all(packet.came is None or packet.came >= packet.at for packet in it.packets)


def _every_cell_arrives_or_is_counted(it: Congested) -> None:
    ends = it.ends()
    sent = sum(port.tx_cells for port in ends) + it.gear_cells
    arrived = sum(port.rx_cells for port in (*ends, it.gear))
    # An end counts a cell with a bad header among those that arrived.
    dropped = sum(gone.node in it.switches or gone.reason is not DropReason.HEC_ERROR for gone in it.gone)
    assert sent == arrived + dropped + it.lost["lost"]


def _discard_goes_by_packets(it: Congested) -> None:
    """EPD takes whole PDUs, and PPD leaves last cells; a lost last cell joins two PDUs, so it holds without losses."""
    assert not any(gone.is_last for gone in it.gone if gone.reason is DropReason.PPD)
    if not it.loss:
        early = {(gone.node, gone.packet) for gone in it.gone if gone.reason is DropReason.EPD and gone.packet}
        assert not any(it.left[node][packet] for node, packet in early)


def _priorities_hold(it: Congested) -> None:
    """More urgent traffic is faster: sessions at their sources, permanent VCs at each switch."""
    came = {category: row for category, row in it.result().items() if row["delivered"]}
    assert came["EF"]["mean_delay"] < came["DF"]["mean_delay"]
    permanent = [came[f"{name} VC"] for name in ("CBR", "rt-VBR", "UBR") if f"{name} VC" in came]
    for urgent, other in pairwise(permanent):
        assert urgent["mean_delay"] < other["mean_delay"]
        assert urgent["greatest_delay"] < other["greatest_delay"]


def test_the_matrix_is_whole_and_meets_each_reason() -> None:
    kept = snapshot()
    assert list(kept) == [name_of(*case) for case in MATRIX]
    reasons = {reason for run in kept.values() for reason in run["counted"]}
    assert reasons >= {"above-pcr", "clp-threshold", "epd", "ppd", "queue-full", "hec-error", "crc-error"}
    assert all(row["sent"] == row["delivered"] + sum(row["lost"].values())
               for run in kept.values() for name, row in run.items() if name != "counted")
    assert all(f"{name} VC" in run for name in PERMANENT for run in kept.values())


def _written() -> str:
    """The snapshot as text: a line for each category of each run."""
    runs = []
    for case in MATRIX:
        rows = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in outcome(ran(*case)).items()]
        runs.append(f"{json.dumps(name_of(*case))}: {{\n" + ",\n".join(rows) + "\n}")
    return "{\n" + ",\n".join(runs) + "\n}\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(_written())
