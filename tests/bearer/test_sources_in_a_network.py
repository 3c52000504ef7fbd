"""Depot and edge node as sources: a session of CBR keeps its pace and its latency while best effort is squeezed."""

from __future__ import annotations

from itertools import pairwise

from atmdepot.wire.cell import CELL_SIZE, CellHeader, Interface
from tests.ip_packets import ACK, PSH, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_network

EF, VOICE, BULK = 46, 4000, 4001
MS = SECOND // 1000
RATE = 10_000


def network(contract: str) -> InMemoryNetwork:
    rates = "".join(f'\n[links.to-web1.from.{node}]\nrate = "{RATE}cps"' for node in ("depot", "web1"))
    return InMemoryNetwork(make_network(
        servers=1, vp=f'session_vcis = "64-95"{rates}', tables=f'[qos.contracts]\nCBR = "{contract}"'))


def opened(contract: str) -> InMemoryNetwork:
    """Both sessions are open, and the edge node knows the flows of their VCs."""
    net = network(contract)
    for port, dscp in ((VOICE, EF), (BULK, 0)):
        assert net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN, dscp=dscp))
        net.advance(10 * MS)
        net.from_server("web1", tcp(VIP4, 80, CLIENT4, port, SYN | ACK, dscp=dscp))
        net.advance(10 * MS)
        net.settle()
    net.seen.clear()
    return net


def answer(port: int, octets: int, number: int, dscp: int) -> bytes:
    return tcp(VIP4, 80, CLIENT4, port, ACK | PSH, seq=number, data=bytes(octets), dscp=dscp)


def cells_by_vci(net: InMemoryNetwork) -> dict[int, int]:
    found: dict[int, int] = {}
    for sender, _, cells in net.seen:
        for at in range(0, len(cells), CELL_SIZE):
            if sender == "web1":
                vci = CellHeader.unpack(cells[at:at + CELL_SIZE], Interface.UNI).vci
                found[vci] = found.get(vci, 0) + 1
    return found


def test_voice_keeps_its_latency_while_bulk_fills_the_link() -> None:
    """A packet of 4 cells each 10 ms, against as much as the link's queue holds."""
    net = opened("cbr:pcr=1000,cdvt=5ms")
    waits = []
    for number in range(100):
        for _ in range(4):  # more than the link carries in 10 ms
            net.from_server("web1", answer(BULK, 1400, number, 0))
        sent, at = net.now, number * 200
        voice = answer(VOICE, 120, at, EF)
        out = net.from_server("web1", voice).get("depot", [])
        while voice not in out and net.now < sent + SECOND:
            net.advance(100_000)
            out = net.settle().get("depot", [])
        waits.append(net.now - sent)
        net.advance(max(0, sent + 10 * MS - net.now))
        net.settle()
    # Its 4 cells conform together (5 ms of CDVT at 1000 cells/s), and meet a grain and a turn of the link at most.
    assert max(waits) <= 4 * MS
    got = cells_by_vci(net)
    assert got[64] == 400
    assert RATE - 200 <= sum(got.values()) <= RATE + 200, "the link is full, for a second"


def test_a_session_of_cbr_is_kept_to_its_pcr() -> None:
    net = opened("cbr:pcr=1000,cdvt=1ms")
    for number in range(15):
        net.from_server("web1", answer(VOICE, 1400, number, EF))
    start, times = net.now, []
    packets = 0
    while packets < 15 and net.now < start + SECOND:
        net.advance(MS)
        out = net.settle().get("depot", [])
        packets += len(out)
        times += [net.now] * len(out)
    cells = cells_by_vci(net)[64]
    assert abs((times[-1] - start) - cells * MS) <= 3 * MS
    assert all(abs(later - earlier - cells // 15 * MS) <= 2 * MS for earlier, later in pairwise(times))
    assert net.dropped() == {}
