"""Flow to VPI/VCI: VCIs come back in the order in which they came free, and only when their session has gone."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bearer.atm import VciPool
from atmdepot.config.units import VciRange
from atmdepot.wire.flows import flow_of_key
from tests.depot.playbook import Playbook
from tests.network_in_memory import make_network


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
