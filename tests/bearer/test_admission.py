"""Admission: a link never promises more than it has, says what is missing, and takes back what ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment
from atmdepot.atm.scheduler import DEFAULT_WEIGHT, QueueClass
from atmdepot.atm.vc import Vc
from atmdepot.bearer.adaptation import adaptation_of
from atmdepot.bearer.admission import Admission
from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.depot.explain import explain
from tests.atm.contracts import contracts
from tests.ip_packets import SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_network

CBR = Contract.parse("cbr:pcr=1000")
EF = 46
not_abr = [category for category in ServiceCategory if category is not ServiceCategory.ABR]
steps = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), contracts(not_abr))), max_size=25)


@given(st.integers(100, 10**6), steps)
def test_no_more_is_promised_than_there_is(rate: int, steps: list[tuple[int, Contract | None]]) -> None:
    admission, open_now = Admission("to-web1", rate, DEFAULT_WEIGHT), dict[int, Contract]()
    refused = 0
    for vci, contract in steps:
        if contract is None:
            admission.release((1, vci))
            open_now.pop(vci, None)
        else:
            open_now.pop(vci, None)
            if admission.admit((1, vci), contract):
                open_now[vci] = contract
            else:
                refused += 1
                assert contract.guaranteed > 0
                assert admission.refusals[1, vci] is contract
        promised = dict.fromkeys(QueueClass, 0)
        for one in open_now.values():
            promised[QueueClass.of(one.category)] += one.guaranteed
        assert admission.promised == promised
        strict = promised[QueueClass.CBR] + promised[QueueClass.RT_VBR]
        assert strict <= rate * 99 // 100
        for name, weight in DEFAULT_WEIGHT.items():
            assert promised[name] <= (rate - strict) * weight // 7
    assert admission.refused == refused


def test_what_is_missing_is_told() -> None:
    admission = Admission("to-web1", 1500, DEFAULT_WEIGHT)
    assert admission.refusal(CBR) == ""
    assert admission.admit((1, 64), CBR)
    assert admission.refusal(CBR) == ("link to-web1 has no 1000 cells/s left for cbr:pcr=1000cps: of its 1500, "
                                      "1000 are promised, and CBR may have 1485")
    assert admission.refusal(Contract()) == ""
    admission.release((1, 64))
    assert admission.admit((1, 65), CBR)


def small_link(*, qos: str = "", **link: str) -> InMemoryNetwork:
    keys = "".join(f"\n{key} = {value}" for key, value in ({"rate": '"2500cps"'} | link).items())
    return InMemoryNetwork(make_network(
        servers=1, vp=f'session_vcis = "64-95"\n[links.to-web1.from.depot]{keys}\n[links.to-web1.from.web1]{keys}'
        if "overbook" not in link else 'session_vcis = "64-95"',
        tables='[qos.contracts]\nCBR = "cbr:pcr=1000,cdvt=5ms"' + qos))


def open_sessions(net: InMemoryNetwork, count: int) -> None:
    for port in range(4000, 4000 + count):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN, dscp=EF))
        net.advance(SECOND // 50)


def test_sessions_beyond_the_link_s_rate_are_best_effort_at_both_ends() -> None:
    net = small_link()
    open_sessions(net, 3)
    depot, edge = adaptation_of(net.depot.links["to-web1"]), net.edges["web1"].link
    for link in (depot, edge):
        vcs = {vc.vci: vc.category for vc in link.table if vc.vci >= 64}
        assert vcs == {64: ServiceCategory.CBR, 65: ServiceCategory.CBR, 66: ServiceCategory.UBR_1}
        assert link.admission is not None
        assert {channel: str(of) for channel, of in link.admission.refusals.items()} == {
            (1, 66): "cbr:pcr=1000cps,cdvt=5ms"}
        assert (link.admission.refused, link.admission.promised[QueueClass.CBR]) == (1, 2000)


def test_shared_vcs_beyond_the_link_s_rate_are_best_effort_at_both_ends() -> None:
    line = "{ rate = \"2500cps\" }"
    net = InMemoryNetwork(make_network(
        servers=1, vp='shared_vcs = { CBR = 40, "rt-VBR.1" = 41 }\n[links.to-web1.from]\n'
                      f"depot = {line}\nweb1 = {line}",
        tables='[qos.contracts]\nCBR = "cbr:pcr=2000,cdvt=5ms"\n"rt-VBR.1" = "rt-vbr.1:pcr=2400,scr=2400,mbs=10"'))
    for link in (adaptation_of(net.depot.links["to-web1"]), net.edges["web1"].link):
        assert link.admission is not None
        assert {vc.vci: vc.category for vc in link.table if vc.vci >= 40} == {
            40: ServiceCategory.CBR, 41: ServiceCategory.UBR_1}
        assert (sum(link.admission.promised.values()), link.admission.refused) == (2000, 1)


def test_explain_tells_which_contract_would_be_refused() -> None:
    net = small_link()
    open_sessions(net, 2)
    told = explain(net.depot, tcp(CLIENT4, 5000, VIP4, 80, SYN, dscp=EF), net.now)
    assert told.path["category"] == "UBR.1"
    assert any("as best effort: link to-web1 has no 1000 cells/s left for cbr:pcr=1000cps" in step.text
               for step in told.steps)
    assert not any("best effort" in step.text
                   for step in explain(net.depot, tcp(CLIENT4, 5000, VIP4, 80, SYN), net.now).steps)


def test_a_session_that_ends_gives_its_rate_back() -> None:
    net = small_link()
    open_sessions(net, 2)
    admission = adaptation_of(net.depot.links["to-web1"]).admission
    assert admission is not None
    assert admission.promised[QueueClass.CBR] == 2000
    net.advance(30 * 60 * SECOND)
    assert admission.promised[QueueClass.CBR] == 0
    edge = net.edges["web1"].link.admission
    assert edge is not None
    assert edge.promised[QueueClass.CBR] == 0


def test_a_vc_that_another_flow_takes_over_keeps_no_contract_that_is_given_back() -> None:
    net = small_link(qos='\n"rt-VBR.1" = "rt-vbr.1:pcr=2400,scr=2400,mbs=10"\n[qos.dscp]\n"10" = "rt-VBR.1"')
    edge, admission = net.edges["web1"], net.edges["web1"].link.admission
    assert admission is not None
    for vci, port, dscp in ((64, 4000, EF), (65, 4001, EF), (64, 4002, 10)):
        syn = tcp(CLIENT4, port, VIP4, 80, SYN, dscp=dscp)
        edge.octets_from_port("to-web1", segment(syn, Vc(1, vci)), net.now)
    assert {vc.vci: vc.contract.category for vc in edge.table if vc.vci >= 64} == {
        64: ServiceCategory.UBR_1, 65: ServiceCategory.CBR}
    assert sum(admission.promised.values()) == sum(vc.contract.guaranteed for vc in edge.table) == 1000


@pytest.mark.parametrize("overbook", [False, True])
def test_a_link_without_rate_or_with_overbook_admits_all(overbook: bool) -> None:
    net = small_link(overbook="true") if overbook else InMemoryNetwork(make_network(
        servers=1, tables='[qos.contracts]\nCBR = "cbr:pcr=1000"'))
    assert adaptation_of(net.depot.links["to-web1"]).admission is None
