"""Flow to VPI/VCI: VCIs come back in the order in which they came free, and only when their session has gone."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bearer.atm import AtmBearer
from atmdepot.bearer.vci_pool import VciPool
from atmdepot.config.contract import ServiceCategory
from atmdepot.config.units import VciRange
from atmdepot.depot.forwarding import Depot
from atmdepot.wire.flows import flow_of_key
from tests.depot.pairs import set_of_depots
from tests.depot.playbook import Playbook
from tests.network_in_memory import SECOND, make_network


@given(st.integers(1, 8), st.lists(st.one_of(st.just(-1), st.integers(0, 7)), max_size=60))
def test_pool_gives_unused_vcis_first_then_those_free_longest(size: int, steps: list[int]) -> None:
    pool = VciPool(VciRange(f"100-{99 + size}"))
    unused, free, used = list(range(100, 100 + size)), deque[int](), []
    for step in steps:
        if step < 0:
            expected = unused.pop(0) if unused else free.popleft() if free else None
            assert pool.take() == expected
            used += [] if expected is None else [expected]
        elif step < len(used):
            free.append(used.pop(step))
            pool.give_back(free[-1])


def test_every_session_has_a_vci_of_its_own_in_its_servers_vp() -> None:
    play = Playbook(make_network(vp='session_vcis = "64-95"'))
    seen = []
    for play.port in range(4000, 4064):
        server = play.client >> "S seq=1"
        vpi, vci = play.vc
        assert vpi == {"web1": 1, "web2": 2}[server]
        assert 64 <= vci <= 95
        seen.append((vpi, vci))
    assert len(set(seen)) == 64


def test_sessions_beyond_the_range_take_the_default_vc_and_are_counted() -> None:
    play = Playbook(make_network(servers=1, vp='session_vcis = "64-65"'))
    for play.port in range(4000, 4005):
        assert play.open() == "web1"
    vcs = []
    for play.port in range(4000, 4005):
        vcs.append(play.vc[1])
        assert play.client >> "PA seq=101 ack=301 len=100" == "web1"
        assert play.server >> "PA seq=301 ack=201 len=100" == "client"
    assert vcs == [64, 65, 32, 32, 32]
    vp = play.net.depot.bearer.vps["web1"]
    assert vp.exhausted == 3
    play.wait("30min")
    assert sorted(vc.vci for vc in vp.link.table) == [32, 33], "the default VC is closed, or another is not"
    play.port = 5000
    play.client >> "S seq=1"
    assert play.vc[1] == 64


def test_vci_is_not_used_again_before_its_session_has_left_the_secondary_table() -> None:
    play = Playbook(make_network(servers=1, vp='session_vcis = "64-65"'))
    for play.port in (4000, 4001):
        play.open()
        play.close()
        assert play.table == "secondary"
    play.port = 4002
    play.client >> "S seq=1"
    assert play.vc == (1, 32)
    play.wait("119s")
    play.port = 4003
    play.client >> "S seq=1"
    assert play.vc == (1, 32)
    play.wait("2s")
    assert {flow_of_key(key)[2] for key in play.net.depot.sessions.secondary} == {4002}
    for play.port, vci in ((4004, 64), (4005, 65), (4006, 32)):
        play.client >> "S seq=1"
        assert play.vc == (1, vci)


def test_session_moved_to_the_secondary_table_keeps_its_vc() -> None:
    play = Playbook()
    play.open()
    vc = play.vc
    play.close()
    assert play.vc == vc
    assert play.client >> "A seq=102 ack=302" == play.at
    (sender, _, cells) = play.net.seen[-1]
    assert (sender, int.from_bytes(cells[:4], "big") >> 4) == ("depot", vc[0] << 16 | vc[1])


@pytest.mark.parametrize(("dscp", "vci"), [(0, 40), (46, 41), (10, 32)])
def test_shared_vcs_are_one_for_each_category_and_stay(dscp: int, vci: int) -> None:
    play = Playbook(make_network(vp='shared_vcs = { "UBR.1" = 40, "CBR" = 41 }'))
    play.client.dscp = dscp
    for play.port in range(4000, 4006):
        play.open()
        assert play.vc[1] == vci
        assert play.server >> "PA seq=301 ack=101 len=10" == "client"
        sender, _, cells = play.net.seen[-1]
        assert sender == play.at
        assert int.from_bytes(cells[:4], "big") >> 4 & 0xFFFF == vci
    play.wait("30min")
    for name, link in play.net.depot.links.items():
        assert sorted(vc.vci for vc in link.table) == [32, 33, 40, 41], name
    for edge in play.net.edges.values():
        assert sorted(vc.vci for vc in edge.table) == [32, 33, 40, 41]
        assert edge.flows == {}


@given(st.lists(st.tuples(st.sampled_from(("take", "claim", "give back")), st.integers(90, 115)), max_size=80))
def test_pool_gives_no_vci_twice_though_some_are_claimed_before_or_after_they_were_used(
    steps: list[tuple[str, int]],
) -> None:
    pool, used = VciPool(VciRange("100-109")), set()
    for what, vci in steps:
        if what == "take":
            taken = pool.take()
            assert (taken is None) == (len(used) == 10)
            if taken is not None:
                assert taken not in used
                used.add(taken)
        elif what == "claim" and vci not in used:
            pool.claim_again(vci)
            used |= {vci} & set(range(100, 110))
        elif what == "give back":
            if vci in used or not pool.has(vci):
                pool.give_back(vci)  # one of another depot's part does not come into this pool
            used.discard(vci)


def test_depots_of_a_set_have_parts_of_the_vcis_and_claim_the_others() -> None:
    network = set_of_depots()
    one, other = (Depot(network, SECOND, name).bearer for name in ("depot1", "depot2"))
    assert isinstance(one, AtmBearer)
    assert isinstance(other, AtmBearer)
    best = ServiceCategory.UBR_1
    assert [bearer.open("web1", best, bearer).number() for bearer in (one, one, other)] == [64, 65, 564]
    owner = object()
    claimed = other.claim("web1", 64, best, owner)
    assert claimed is not None
    assert (claimed.number(), claimed.owner) == (64, owner)
    assert other.claim("web1", 64, best, object()) is None  # it is taken
    assert other.claim("web1", 63, best, object()) is None  # no session's
    assert other.path_with("web1", 64) is claimed
    other.close(claimed, owner)
    assert other.path_with("web1", 64) is None
    for _ in range(499):
        assert other.open("web1", best, owner).number() >= 564
    assert other.open("web1", best, owner) is other.default("web1")
