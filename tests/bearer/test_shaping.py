"""Shaped ports: what leaves conforms, nothing is lost uncounted, VCs keep order, and the link keeps its rate."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from atmdepot.atm.policer import Policer
from atmdepot.atm.sar import segment
from atmdepot.atm.scheduler import QueueClass
from atmdepot.atm.sources import TOLERANCE, SourceScheduler
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.adaptation import LinkAdaptation
from atmdepot.bearer.base import NEVER
from atmdepot.bearer.shaping import ShapedAdaptation, port_of
from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.config.reading import parse
from atmdepot.drops import DropReason
from atmdepot.wire.cell import CELL_SIZE, CellHeader, Interface
from tests.atm.contracts import contracts
from tests.effort import examples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.config.model import Network

NS = 1_000_000_000
OC3 = 353_207
ROOM = dict.fromkeys(QueueClass, 100_000)
UBR = Contract()

packets = st.binary(min_size=1, max_size=400)


def port(*vcs: Vc, rate: int = 0, burst: int = 1024, room: Mapping[QueueClass, int] = ROOM, grain: int = 50_000,
         vps: Mapping[int, Contract] | None = None) -> ShapedAdaptation:
    output = SourceScheduler(rate, room=room, burst=burst, vps=vps, grain=grain)
    return ShapedAdaptation("link", Interface.UNI, VcTable(*vcs), output, timeout=NS, max_octets=2**20)


def vc(vci: int, contract: Contract | str = UBR, vpi: int = 1) -> Vc:
    return Vc(vpi, vci, contract=Contract.parse(contract) if isinstance(contract, str) else contract)


def cells_of(octets: bytes) -> list[bytes]:
    return [octets[at:at + CELL_SIZE] for at in range(0, len(octets), CELL_SIZE)]


def run(link: ShapedAdaptation, until: int = NEVER) -> list[tuple[int, bytes]]:
    """All that leaves until then, with its times; the port is woken when it is due."""
    out, before = [], -1
    while link.due <= until and link.due < NEVER:
        now = max(link.due, before)
        out.append((now, link.transmit(now)))
        assert link.due > now, "it is due, and its cells do not leave"
        before = now
    return out


def by_vc(octets: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = defaultdict(bytes)
    for cell in cells_of(octets):
        found[CellHeader.unpack(cell, Interface.UNI).vci] += cell
    return found


def count_of(left: list[tuple[int, bytes]]) -> int:
    return sum(len(octets) for _, octets in left) // CELL_SIZE


sent = st.lists(st.tuples(st.one_of(st.just(0), st.integers(0, 10**8)), packets, st.integers(0, 1)), max_size=8)


@given(contracts([category for category in ServiceCategory if category is not ServiceCategory.ABR]), sent,
       st.sampled_from([0, 1000, OC3]))
@examples(300)
def test_no_policer_of_the_same_contract_objects(
        contract: Contract, arrivals: list[tuple[int, bytes, int]], rate: int) -> None:
    """Neither tagged nor discarded, whatever comes, and behind whatever waits on the link; CDVT at least TOLERANCE.

    A source of GFR.2 may send above its MCR, where the network tags whole frames: none is discarded.
    """
    if contract.category in (ServiceCategory.GFR, ServiceCategory.GFR_2) and contract.mfs is not None:
        arrivals = [(gap, packet[:max(1, contract.mfs * 48 - 8)], clp) for gap, packet, clp in arrivals]
    mine, other = vc(40, contract), vc(41)
    link, now, left = port(mine, other, rate=rate), 0, []
    for gap, packet, clp in arrivals:
        left += run(link, now + gap)
        now += gap
        link.send(packet, mine, clp)
        link.send(packet * 3, other, 0)
        left.append((now, link.transmit(now)))
    left += run(link)
    policer = Policer(contract, more_cdvt=max(0, TOLERANCE - contract.cdvt))
    for time, octets in left:
        cells = by_vc(octets).get(40, b"")
        passed = policer.police(cells, time)
        if contract.category is not ServiceCategory.GFR_2:
            assert passed == cells
        assert len(passed) == len(cells)
    assert policer.discarded.total() == 0
    total = sum(mine.tx_cells for mine in (mine, other))
    assert count_of(left) + sum(link.drops.values()) == total


@given(sent, st.integers(100, 10**6), st.sampled_from([0, OC3]))
def test_no_policer_of_the_vps_contract_objects(
        arrivals: list[tuple[int, bytes, int]], pcr: int, rate: int) -> None:
    """The VCs of a VP that has a contract are shaped as one."""
    contract = Contract.parse(f"ubr:pcr={pcr},cdvt=1ms")
    vcs = [vc(40), vc(41, "cbr:pcr=10kcps"), vc(42, "nrt-vbr:pcr=20kcps,scr=5kcps,mbs=20"), vc(40, vpi=2)]
    link, now, left = port(*vcs, rate=rate, vps={1: contract}), 0, []
    for gap, packet, clp in arrivals:
        left += run(link, now + gap)
        now += gap
        for one in vcs:
            link.send(packet, one, clp)
        left.append((now, link.transmit(now)))
    left += run(link)
    policer = Policer(contract)
    for time, octets in left:
        cells = b"".join(cell for cell in cells_of(octets) if CellHeader.unpack(cell, Interface.UNI).vpi == 1)
        assert policer.police(cells, time) == cells
    assert count_of(left) + sum(link.drops.values()) == sum(one.tx_cells for one in vcs)


def test_a_vp_s_vcs_share_it_by_category() -> None:
    """Its CBR goes first, its others by weight, and another VP is not in the way."""
    vcs = [vc(40, Contract(ServiceCategory.CBR)), vc(41, Contract(ServiceCategory.NRT_VBR_1)), vc(42), vc(50, vpi=2)]
    link = port(*vcs, vps={1: Contract.parse("ubr:pcr=10kcps,cdvt=1ms")})
    for one in vcs:
        link.send(bytes(48 * 500 - 8), one, 0)
    left = run_from(link, 0, NS // 10)
    got = Counter({vci: len(cells) // CELL_SIZE for vci, cells in by_vc(b"".join(o for _, o in left)).items()})
    assert got[50] == 500
    assert 1000 <= sum(got[vci] for vci in (40, 41, 42)) <= 1012
    assert got[40] == 500
    assert abs(got[41] / got[42] - 4) < 0.3


def run_from(link: ShapedAdaptation, now: int, until: int) -> list[tuple[int, bytes]]:
    return [(now, link.transmit(now)), *run(link, until)]


# ── the link's rate ──

bursts = st.lists(st.tuples(st.one_of(st.just(0), st.integers(0, 10**7)), st.integers(0, 2), packets), max_size=15)


@given(st.sampled_from([1000, 96_000, OC3, 5_651_320]), st.sampled_from([0, 50_000]), bursts)
@examples(200)
def test_no_window_has_more_than_the_rate(
        rate: int, grain: int, arrivals: list[tuple[int, int, bytes]]) -> None:
    """To within a cell time, and the cells that leave together."""
    vcs = [vc(40), vc(41, "cbr:pcr=10kcps,cdvt=10ms"), vc(42, Contract(ServiceCategory.GFR))]
    link, now, left = port(*vcs, rate=rate, grain=grain), 0, []
    for gap, which, packet in arrivals:
        left += run(link, now + gap)
        now += gap
        link.send(packet, vcs[which], 0)
        left.append((now, link.transmit(now)))
    left += run(link)
    together = max(1, grain * rate // NS)
    counts = [(time, len(octets) // CELL_SIZE) for time, octets in left]
    for first in range(len(counts)):
        total = 0
        for time, count in counts[first:]:
            total += count
            assert (total - 1) * NS <= (time - counts[first][0]) * rate + together * NS


@pytest.mark.parametrize("rate", [96_000, OC3])
def test_a_busy_link_keeps_its_rate_to_the_cell(rate: int) -> None:
    mine = vc(40)
    link = port(mine, rate=rate)
    for _ in range(20):
        link.send(bytes(48 * 1000 - 8), mine, 0)
    cells = 0
    for now, octets in run_from(link, 0, NS // 25):
        cells += len(octets) // CELL_SIZE
        assert abs(cells - now * rate // NS) <= 1 + 50_000 * rate // NS


def test_a_contract_as_fast_as_the_link_loses_none_of_it() -> None:
    """A loop that wakes up each 50 us, and at times 200 us later."""
    mine = vc(40, f"cbr:pcr={OC3}")
    link = port(mine, rate=OC3)
    now = count = 0
    while now < NS // 10:
        if mine.tx_cells - count < 500:
            link.send(bytes(48 * 200 - 8), mine, 0)
        count += len(link.transmit(now)) // CELL_SIZE
        now = max(link.due, now) + (200_000 if count % 7 == 0 else 0)
    assert abs(count - now * OC3 // NS) < OC3 // 1000


def test_a_late_wake_up_gives_a_burst_and_goes_on_from_there() -> None:
    mine = vc(40)
    link = port(mine, rate=1000, grain=0, burst=4)
    link.send(bytes(48 * 100 - 8), mine, 0)
    assert len(link.transmit(0)) == CELL_SIZE
    assert len(link.transmit(20 * 10**6)) == 4 * CELL_SIZE
    assert (link.output.late, link.due) == (16, 21 * 10**6)


# ── whose turn ──

@examples(20)
@given(st.permutations([1, 3, 30]), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
def test_shares_of_categories_are_those_of_the_weights(
        sizes: list[int], one: int, two: int, three: int) -> None:
    names = (QueueClass.NRT_VBR, QueueClass.GFR, QueueClass.UBR)
    weights = dict(zip(names, (one, two, three), strict=True))
    vcs = [vc(40 + at, Contract(category)) for at, category in enumerate(
        (ServiceCategory.NRT_VBR_1, ServiceCategory.GFR, ServiceCategory.UBR_1))]
    output = SourceScheduler(6000, room=ROOM, burst=1024, weights=weights)
    link = ShapedAdaptation("link", Interface.UNI, VcTable(*vcs), output, timeout=NS, max_octets=2**20)
    for mine, size in zip(vcs, sizes, strict=True):
        for _ in range(7000 // size):
            link.send(bytes(48 * size - 8), mine, 0)
    run_from(link, 0, NS)
    got = {source.key & 0xFFFF: source.left for source in output.sources.values()}
    for mine, weight in zip(vcs, (one, two, three), strict=True):
        assert abs(got[mine.vci] / sum(got.values()) - weight / (one + two + three)) <= 0.02


def test_a_bulk_vc_starves_no_other_of_its_category() -> None:
    """Each of three VCs that always have cells gets a third, and a packet of a fourth waits for a turn of each only."""
    vcs = [vc(40 + at) for at in range(4)]
    link = port(*vcs, rate=10_000)
    for mine, size in zip(vcs[:3], (1, 30, 190), strict=True):
        for _ in range(8000 // size):
            link.send(bytes(48 * size - 8), mine, 0)
    left = run_from(link, 0, NS)
    got = {vci: len(cells) // CELL_SIZE for vci, cells in by_vc(b"".join(octets for _, octets in left)).items()}
    assert max(got.values()) - min(got.values()) <= 32
    link.send(bytes(40), vcs[3], 0)
    link.transmit(NS + 1)
    waited = next(time for time, octets in run(link) if 43 in by_vc(octets)) - NS
    assert waited <= 4 * 32 * NS // 10_000


def test_cbr_goes_before_all_that_waits() -> None:
    bulk, voice = vc(40), vc(41, "cbr:pcr=10kcps")
    link = port(bulk, voice, rate=1000, grain=0)
    link.send(bytes(48 * 500 - 8), bulk, 0)
    assert by_vc(link.transmit(0)).keys() == {40}
    link.send(bytes(40), voice, 0)
    assert link.transmit(5 * 10**5) == b""
    assert by_vc(link.transmit(10**6)).keys() == {41}


# ── room ──

def test_a_vc_with_a_contract_has_a_room_of_its_own() -> None:
    """An eighth of a second of its PCR; a packet beyond it is dropped whole and counted by its VC."""
    voice, heard = vc(41, "cbr:pcr=8000"), []
    link = port(voice)
    link.drops.subscribe(lambda reason, count, octets, of: heard.append((reason, count, len(octets), of)))
    for _ in range(12):
        link.send(bytes(48 * 100 - 8), voice, 0)
    left = run_from(link, 0, NEVER)
    assert heard == [(DropReason.SHAPER_FULL, 100, 100 * CELL_SIZE, voice)] * 2
    assert count_of(left) == 1000
    [source] = link.output.sources.values()
    assert (source.left, source.dropped) == (1000, {DropReason.SHAPER_FULL: 200})


def test_no_vc_takes_all_of_a_queue_s_room() -> None:
    """Three quarters for CLP 0 and the half for CLP 1, as at a switch, so that another VC finds room."""
    room = dict.fromkeys(QueueClass, 1000)
    for clp, most, reason in ((0, 750, DropReason.EPD), (1, 500, DropReason.CLP_THRESHOLD)):
        bulk, other = vc(40), vc(41)
        link = port(bulk, other, rate=1000, room=room)
        for _ in range(100):
            link.send(bytes(48 * 10 - 8), bulk, clp)
        link.send(bytes(48 * 100 - 8), other, 0)
        link.transmit(0)
        [of_bulk, of_other] = link.output.sources.values()
        assert most - 10 <= of_bulk.held + of_bulk.left <= most + 10
        assert of_bulk.dropped.keys() == {reason}
        assert of_other.held + of_other.left == 100
        assert link.drops == of_bulk.dropped


def test_a_packet_greater_than_the_room() -> None:
    mine = vc(40)
    link = port(mine, rate=1000, room=dict.fromkeys(QueueClass, 10))
    link.send(bytes(48 * 11 - 8), mine, 0)
    assert link.transmit(0) == b""
    assert link.drops == {DropReason.QUEUE_FULL: 11}


def test_what_a_closed_vc_has_sent_still_leaves() -> None:
    """As the last ACK of a session does; then nothing of the VC is left."""
    mine, other = vc(40, "cbr:pcr=1000"), vc(41)
    link = port(mine, other)
    link.send(bytes(48 * 10 - 8), mine, 0)
    link.send(bytes(40), other, 0)
    link.close(mine)  # before its cells have entered
    link.close(other)
    left = run_from(link, 0, NEVER)
    assert {vci: len(cells) // CELL_SIZE for vci, cells in by_vc(b"".join(o for _, o in left)).items()} == {
        40: 10, 41: 1}
    assert (link.output.sources, link.output.held, link.drops) == ({}, 0, {})


def test_a_vci_that_is_opened_anew_keeps_the_order_of_its_cells() -> None:
    before, after = vc(40, "cbr:pcr=1000"), vc(40)
    link = port(before)
    link.send(bytes(48 * 10 - 8), before, 0)
    link.transmit(0)
    link.close(before)
    link.table.add(after)
    link.send(bytes(48 * 3 - 8), after, 0)
    left = run_from(link, 0, NEVER)
    headers = [CellHeader.unpack(cell, Interface.UNI).is_last for cell in cells_of(b"".join(o for _, o in left))]
    assert [at for at, last in enumerate(headers) if last] == [8, 11]
    [source] = link.output.sources.values()
    assert source.name is after
    link.close(after)
    assert link.output.sources == {}


def test_a_vc_takes_on_another_contract_once_it_is_empty() -> None:
    """As an edge node's VC does with its flow's first packet."""
    mine = vc(40)
    link = port(mine)
    link.send(bytes(40), mine, 0)
    link.transmit(0)
    mine.contract = Contract.parse("cbr:pcr=1000")
    link.send(bytes(48 * 3 - 8), mine, 0)
    assert len(link.transmit(0)) == CELL_SIZE
    assert link.due == 750_000


CONTRACTS = [UBR, Contract(ServiceCategory.CBR), *map(Contract.parse, (
    "cbr:pcr=10kcps,cdvt=200us", "nrt-vbr:pcr=20kcps,scr=4kcps,mbs=50,tag", "gfr:pcr=50kcps,mcr=1kcps,mbs=200",
    "ubr:pcr=353207cps"))]


class Machine(RuleBasedStateMachine):
    """VCs of all kinds that come and go at a port: nothing is lost but what is counted, and PDUs leave whole."""

    @initialize(rate=st.sampled_from([0, 5000, OC3]), room=st.sampled_from([20, 300, 8192]), vp=st.booleans())
    def begin(self, rate: int, room: int, vp: bool) -> None:
        self.now = self.count = 0
        self.rate = rate
        self.link = port(rate=rate, room=dict.fromkeys(QueueClass, room),
                         vps={1: Contract.parse("ubr:pcr=8kcps,cdvt=300us")} if vp else None)
        self.open: dict[int, Vc] = {}
        self.trains: dict[int, list[bytes]] = defaultdict(list)
        self.out: dict[int, bytes] = defaultdict(bytes)
        self.link.drops.subscribe(self.dropped)

    def dropped(self, reason: DropReason, count: int, octets: bytes | memoryview, of: object) -> None:
        assert isinstance(of, Vc)
        assert len(octets) == count * CELL_SIZE
        self.trains[of.vci].remove(bytes(octets))

    @rule(vci=st.integers(40, 45), contract=st.sampled_from(CONTRACTS), packets=st.lists(packets, max_size=4),
          clp=st.integers(0, 1))
    def send(self, vci: int, contract: Contract, packets: list[bytes], clp: int) -> None:
        if vci not in self.open:
            self.open[vci] = vc(vci, contract, 1 + vci % 2)
            self.link.table.add(self.open[vci])
        mine = self.open[vci]
        for packet in packets:
            self.count += 1
            numbered = self.count.to_bytes(4, "big") + packet
            self.trains[vci].append(segment(numbered, vc(vci, contract, 1 + vci % 2), clp))
            self.link.send(numbered, mine, clp)

    @rule(vci=st.integers(40, 45))
    def close(self, vci: int) -> None:
        if vci in self.open:
            self.link.close(self.open.pop(vci))

    @rule(gap=st.one_of(st.just(0), st.integers(0, 10**7)), late=st.sampled_from([0, 0, 10**5, 10**7]))
    def wait(self, gap: int, late: int) -> None:
        until = self.now + gap
        while self.link.due <= until:
            self.now = max(self.now, self.link.due) + late
            self.take()
        self.now = max(self.now, until)
        self.take()

    def take(self) -> None:
        for vci, cells in by_vc(self.link.transmit(self.now)).items():
            self.out[vci] += cells

    @invariant()
    def no_port_holds_more_than_its_room(self) -> None:
        for waiting in self.link.output.queues.values():
            assert 0 <= waiting.held <= waiting.most <= waiting.room
        assert sum(waiting.held + waiting.shaped for waiting in self.link.output.queues.values()) \
            == self.link.output.held == sum(source.held for source in self.link.output.sources.values())

    def teardown(self) -> None:
        if not hasattr(self, "link"):
            return
        self.take()
        while self.link.due < NEVER:
            self.now = max(self.now, self.link.due)
            self.take()
        assert self.out == {vci: b"".join(trains) for vci, trains in self.trains.items() if trains}
        assert self.link.output.held == 0
        assert {source.name for source in self.link.output.sources.values()} <= set(self.open.values())


TestMachine = Machine.TestCase


# ── which ports are shaped ──

@pytest.mark.parametrize(("link", "tables", "shaped"), [
    ("", "", False),
    ('delay = "1ms"', "", False),
    ('rate = "oc3"', "", True),
    ('[links.to-web1.from.web1]\nrate = "oc3"', "", False),
    ('[links.to-web1.from.depot]\nrate = "oc3"', "", True),
    ("", '[qos.contracts]\nCBR = "cbr:pcr=10kcps"', True),
    ("", '[qos.contracts]\n"UBR.1" = "ubr"', False),
    ("", '[vps.web1]\ncontract = "ubr:pcr=10kcps"', True),
])
def test_a_port_without_rate_and_contracts_is_a_plain_port(link: str, tables: str, shaped: bool) -> None:
    network = network_with(link, tables)
    made = port_of(network, "to-web1", "depot", VcTable())
    assert type(made) is (ShapedAdaptation if shaped else LinkAdaptation)
    assert made.is_timed is shaped


def network_with(link: str, tables: str) -> Network:
    lines = f"""
        name = "one"
        [nodes.depot]
        kind = "depot"
        [nodes.web1]
        kind = "edge"
        [links.to-web1]
        ends = {{ depot = "127.0.0.1:6001", web1 = "127.0.0.1:7001" }}
        {link}
        {"" if "[vps" in tables else "[vps.web1]"}
        {tables if "[vps" in tables else ""}
        ends = ["depot", "web1"]
        vpi = 1
        session_vcis = "64-65535"
        [servers.web1]
        node = "web1"
        [services.web]
        vip = ["10.80.0.1"]
        ports = [80]
        servers = ["web1"]
        {"" if "[vps" in tables else tables}
    """
    return parse("\n".join(line.strip() for line in lines.splitlines()))


def test_keys_of_a_link() -> None:
    """`queue` is the room of each queue, but for those that `queues` names."""
    made = port_of(network_with('rate = "oc3"\nqueue = 500\nqueues = { CBR = 60 }\nburst = 70', ""),
                   "to-web1", "depot", VcTable())
    assert isinstance(made, ShapedAdaptation)
    assert {name: waiting.room for name, waiting in made.output.queues.items()} == {
        name: 60 if name == "CBR" else 500 for name in QueueClass}
    assert made.output.rate == OC3
