"""Traffic contracts: what qos(7) strings mean, and which word an error names."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.contract import Contract, ServiceCategory, cells_of_packet
from atmdepot.config.qos import QosMap
from atmdepot.config.units import CellRate, Duration

C = ServiceCategory
VBR = "pcr=20kcps,scr=5kcps,mbs=200"
SPOKEN = [category for category in ServiceCategory if category is not C.ABR]
NO_ABR = ('ABR needs RM cells, which no node makes: write nrt-VBR.1 for a guaranteed rate ("nrt-vbr:pcr=...,scr=...,'
          'mbs=..."), or UBR.1 for what is left ("ubr:mdcr=...")')


def contract(category: ServiceCategory, cdvt: int = 0, **values: int) -> Contract:
    counts = {name: value for name, value in values.items() if name in ("mbs", "mfs", "sdu")}
    rates = {name: CellRate(value) for name, value in values.items() if name not in counts}
    return Contract(category, cdvt=Duration(cdvt), **rates, **counts)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "expected"), [
    ("ubr", contract(C.UBR_1)),
    ("UBR,AAL5", contract(C.UBR_1)),
    ("ubr,aal5:", contract(C.UBR_1)),
    ("ubr.2", contract(C.UBR_2)),
    ("ubr:tag", contract(C.UBR_2)),
    ("cbr,aal5:max_pcr=125000,sdu=8192", contract(C.CBR, pcr=125_000, sdu=8192)),
    ("cbr,aal5:pcr=10kcps,cdvt=200us", contract(C.CBR, pcr=10_000, cdvt=200_000)),
    ("ubr,aal5:max_pcr=max,max_sdu=9188", contract(C.UBR_1, sdu=9188)),
    ("gfr:pcr=4Mbps,min_pcr=384kbps,mbs=9", contract(C.GFR, pcr=10_416, mcr=1000, mbs=9)),
    ("gfr.1:pcr=9,mcr=5,mbs=9", contract(C.GFR, pcr=9, mcr=5, mbs=9)),
    ("gfr.2:pcr=9,mcr=5,mbs=9", contract(C.GFR_2, pcr=9, mcr=5, mbs=9)),
    ("gfr:pcr=9,tag,mcr=5,mbs=9", contract(C.GFR_2, pcr=9, mcr=5, mbs=9)),
    ("ubr:pcr=50kcps,mdcr=1kcps", contract(C.UBR_1, pcr=50_000, mdcr=1000)),
    ("ubr.2:mdcr=1kcps", contract(C.UBR_2, mdcr=1000)),
    ("cbr:ip=2Mbps,packet=200", contract(C.CBR, pcr=6250)),
    ("cbr:packet=40,ip=320bps", contract(C.CBR, pcr=1)),
    ("rt-vbr:ip=320bps,ip-peak=640bps,packet=40,burst=80", contract(C.RT_VBR_1, pcr=2, scr=1, mbs=3)),
    ("nrt-vbr.3:ip=2Mbps,packet=1500,pcr=50kcps,mbs=99", contract(C.NRT_VBR_3, pcr=50_000, scr=5334, mbs=99)),
    ("gfr:ip=2Mbps,packet=1500,pcr=50kcps,mbs=99", contract(C.GFR, pcr=50_000, mcr=5334, mbs=99)),
    ("ubr:ip=2Mbps,packet=1500", contract(C.UBR_1, mdcr=5334)),
    ("rt-vbr.3:pcr=20kcps,scr=5kcps,mbs=200", contract(C.RT_VBR_3, pcr=20_000, scr=5000, mbs=200)),
    (f"rt-vbr:{VBR}", contract(C.RT_VBR_1, pcr=20_000, scr=5000, mbs=200)),
    (f"rt-vbr:{VBR},tag", contract(C.RT_VBR_3, pcr=20_000, scr=5000, mbs=200)),
    (f"rt-vbr.2:{VBR}", contract(C.RT_VBR_2, pcr=20_000, scr=5000, mbs=200)),
    (f"vbr:{VBR}", contract(C.NRT_VBR_1, pcr=20_000, scr=5000, mbs=200)),
    (f"nrt-vbr:tag,{VBR}", contract(C.NRT_VBR_3, pcr=20_000, scr=5000, mbs=200)),
    (f"nrt-vbr.3:{VBR},tag", contract(C.NRT_VBR_3, pcr=20_000, scr=5000, mbs=200)),
    ("gfr:pcr=1Mcps,mcr=2Mbps,mbs=400,mfs=32,sdu=1508",
     contract(C.GFR, pcr=10**6, mcr=5208, mbs=400, mfs=32, sdu=1508)),
    (" cbr , aal5 : pcr = 5 , cdvt = 1 ms ", contract(C.CBR, pcr=5, cdvt=10**6)),
    ("cbr:pcr=1.5k", contract(C.CBR, pcr=1500)),
    ("cbr:pcr=384bps", contract(C.CBR, pcr=1)),
    ("cbr:pcr=1G", contract(C.CBR, pcr=10**9)),
])
def test_what_is_read(text: str, expected: Contract) -> None:
    assert Contract.parse(text) == expected


NO_CATEGORY = ('"{}" is no service category: begin with cbr, rt-vbr, nrt-vbr, gfr or ubr, as in '
               '"cbr,aal5:pcr=10kcps"')
NO_PARAMETER = ('"{}" is no parameter: write pcr=, scr=, mcr=, mdcr=, mbs=, mfs=, cdvt=, sdu=, ip=, ip-peak=, '
                'burst=, packet= or tag')
NO_RATE = "{}: write cells per second (10000, 10kcps) or user bits per second (4Mbps)"


@pytest.mark.parametrize(("text", "message"), [
    ("", NO_CATEGORY.format("")),
    ("best-effort", NO_CATEGORY.format("best-effort")),
    ("cbr,aal3:pcr=1k", NO_CATEGORY.format("aal3")),
    ("cbr,aal0:pcr=1k", '"aal0" carries no packets: write aal5'),
    ("cbr:peak=1k", NO_PARAMETER.format("peak=1k")),
    ("cbr:pcr", NO_PARAMETER.format("pcr")),
    ("cbr:pcr=1k,1k", NO_PARAMETER.format("1k")),
    ("cbr:pcr=fast", NO_RATE.format("pcr=fast")),
    ("cbr:pcr=10Kcps", NO_RATE.format("pcr=10Kcps")),
    ("cbr:pcr=-1", NO_RATE.format("pcr=-1")),
    ("cbr:pcr=", NO_RATE.format("pcr=")),
    ("cbr:max_pcr=x", NO_RATE.format("pcr=x")),
    ("cbr:pcr=100bps", "pcr=100bps is less than one cell per second: write at least 1cps"),
    ("cbr:pcr=0", "pcr=0 is less than one cell per second: write at least 1cps"),
    ("cbr:pcr=1k,sdu=0", "sdu=0: write a whole number from 1 up"),
    ("cbr:pcr=1k,sdu=1.5", "sdu=1.5: write a whole number from 1 up"),
    ("gfr:pcr=1k,mcr=1k,mbs=-1", "mbs=-1: write a whole number from 1 up"),
    ("cbr:pcr=1k,cdvt=5", "'5' is no duration: write a number and ns, us, ms, s, min or h, as in \"5ms\""),
    ("cbr:pcr=1k,pcr=2k", '"pcr" is given twice: leave one of them'),
    ("cbr:pcr=1k,max_pcr=2k", '"pcr" is given twice: leave one of them'),
    ("cbr", "CBR needs pcr: add pcr=..."),
    ("cbr:cdvt=1ms", "CBR needs pcr: add pcr=..."),
    ("rt-vbr:pcr=1k", "rt-VBR.1 needs scr and mbs: add scr=..."),
    ("vbr:pcr=1k,scr=1k", "nrt-VBR.1 needs mbs: add mbs=..."),
    ("gfr", "GFR needs pcr and mcr and mbs: add pcr=..."),
    ("abr", NO_ABR),
    ("abr:pcr=4Mbps,min_pcr=384kbps", NO_ABR),
    ("gfr.2:pcr=9", "GFR.2 needs mcr and mbs: add mcr=..."),
    ("gfr:pcr=9,mcr=5,mbs=9,mdcr=5", "mdcr does not go with GFR: only UBR has it (af-tm-0150); GFR has mcr="),
    ("ubr:pcr=1k,mdcr=2k", "mdcr (2000cps) is above pcr (1000cps): a peak is never below a mean"),
    ("cbr:ip=2Mbps", 'ip= goes with packet=: add it, as in "cbr:ip=2Mbps,packet=200"'),
    ("cbr:packet=200", 'packet= goes with ip=: add it, as in "cbr:ip=2Mbps,packet=200"'),
    ("cbr:ip=2Mbps,packet=200,pcr=5", "ip= makes pcr: leave pcr= out, or write all rates in cells"),
    ("vbr:ip=2Mbps,packet=200,ip-peak=3Mbps,pcr=5", "ip-peak= makes pcr: leave pcr= out, or write all rates in cells"),
    ("cbr:ip=2Mbps,packet=200,ip-peak=3Mbps",
     "ip-peak= does not go with CBR, whose only rate is its peak: leave it out"),
    ("ubr:ip=2Mbps,packet=200,burst=3", "burst= does not go with UBR, which has no MBS: leave it out"),
    ("cbr:ip=2kcps,packet=200", "ip=2kcps: write bits of IP packets per second (2Mbps)"),
    ("cbr:ip=385Gbps,packet=200", "ip=385Gbps: write 1bps to 384Gbps"),
    ("cbr:ip=384Gbps,packet=40",
     "ip=384000000000bps makes a rate or a burst of too many cells: write less, or a greater packet="),
    ("vbr:ip=2Mbps,packet=1500", "nrt-VBR.1 needs pcr and mbs: add pcr=..."),
    ("vbr:ip=2Mbps,ip-peak=1Mbps,packet=1500,burst=1500",
     "scr (5334cps) is above pcr (2667cps): a peak is never below a mean"),
    ("cbr:pcr=1k,tag", '"tag" does not go with CBR: only VBR, UBR and GFR tag cells'),
    ("abr:tag,pcr=1k", NO_ABR),
    ("rt-vbr:pcr=1k,scr=2k,mbs=9", "scr (2000cps) is above pcr (1000cps): a peak is never below a mean"),
    ("gfr:pcr=1k,mcr=2k,mbs=9", "mcr (2000cps) is above pcr (1000cps): a peak is never below a mean"),
    (5, "5 is no contract: write a text such as \"cbr,aal5:pcr=10kcps\""),
    (None, "None is no contract: write a text such as \"cbr,aal5:pcr=10kcps\""),
])
def test_errors_name_the_word(text: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Contract.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("category", SPOKEN)
def test_every_category_can_be_written_by_its_name(category: ServiceCategory) -> None:
    text = f"{category}:pcr=20k,scr=5k,mcr=2k,mbs=200"
    assert Contract.parse(text).category is category
    assert ServiceCategory.parse(category.upper()) is category


@pytest.mark.parametrize("text", ["vbr", "rt-vbr", "", "UBR", "ubr.3", None, 5])
def test_unknown_categories_are_refused(text: object) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        ServiceCategory.parse(text)
    assert str(caught.value) == (f"{text!r} is no service category: write one of CBR, rt-VBR.1, rt-VBR.2, rt-VBR.3, "
                                 "nrt-VBR.1, nrt-VBR.2, nrt-VBR.3, GFR, GFR.2, UBR.1, UBR.2")


def test_which_categories_tag() -> None:
    assert [category for category in ServiceCategory if category.tags] == [C.RT_VBR_3, C.NRT_VBR_3, C.GFR_2,
                                                                             C.UBR_2]


@given(st.sampled_from(SPOKEN), st.lists(st.integers(1, 10**7), min_size=3, max_size=3),
       st.integers(1, 10**6), st.none() | st.integers(1, 10**6), st.integers(0, 10**10))
def test_a_contract_is_written_as_it_is_read(category: ServiceCategory, rates: list[int], mbs: int, mfs: int | None,
                                             cdvt: int) -> None:
    mcr, scr, pcr = (CellRate(rate) for rate in sorted(rates))
    written = Contract(category, pcr, scr, mcr, mbs, mfs, Duration(cdvt), None)
    assert Contract.parse(str(written)) == written


@pytest.mark.parametrize(("text", "written"), [
    ("ubr,aal5", "ubr.1"), ("cbr:pcr=10k,cdvt=200us", "cbr:pcr=10000cps,cdvt=200us"),
    (f"vbr,aal5:{VBR},tag,sdu=1500", "nrt-vbr.3:pcr=20000cps,scr=5000cps,mbs=200,sdu=1500")])
def test_how_a_contract_is_written(text: str, written: str) -> None:
    assert str(Contract.parse(text)) == written


words = st.sampled_from(["cbr", "ubr", "vbr", "aal5", ":", ",", "=", "pcr", "scr", "mbs", "cdvt", "tag", "max", "10",
                         "ip", "packet", "burst", "mdcr", "k", "cps", "Mbps", "5ms", " ", "-", "\u0663", "\x00"])


@given(st.one_of(st.lists(words, max_size=20).map("".join), st.text(max_size=30)))
def test_only_value_error_escapes(text: str) -> None:
    try:
        parsed = Contract.parse(text)
    except ValueError:
        return
    assert Contract.parse(str(parsed)) == parsed


def test_abr_is_no_category_that_is_read() -> None:
    with pytest.raises(ValueError, match="nrt-VBR") as caught:
        ServiceCategory.parse("ABR")
    assert str(caught.value) == NO_ABR


@pytest.mark.parametrize(("text", "rate"), [
    ("cbr:pcr=9", 9), (f"rt-vbr:{VBR}", 5000), (f"nrt-vbr.3:{VBR}", 5000),
    ("gfr:pcr=9,mcr=5,mbs=9", 5), ("gfr.2:pcr=9,mcr=5,mbs=9", 5), ("ubr:pcr=9,mdcr=4", 4),
    ("ubr:pcr=9", 0), ("ubr", 0)])
def test_what_the_network_keeps_free(text: str, rate: int) -> None:
    assert Contract.parse(text).guaranteed == rate


# ── rates of IP ──

sizes, headers = st.integers(20, 9180), st.sampled_from([0, 8, 16, 24, 28])


def cells_by_hand(packet: int, before: int) -> int:
    """The cells of a PDU that is laid out octet by octet."""
    pdu = bytes(before + packet)
    while (len(pdu) + 8) % 48:
        pdu += b"\0"
    return len(pdu + bytes(8)) // 48


@given(sizes, headers)
def test_the_cells_of_a_packet(packet: int, before: int) -> None:
    assert cells_of_packet(packet, before) == cells_by_hand(packet, before)
    assert cells_of_packet(packet, 8) == (packet + 8 + 8 + 47) // 48  # RFC 2381, with LLC


@given(sizes, headers, st.integers(1, 10**10))
def test_a_rate_of_ip_is_the_least_rate_of_cells_that_carries_it(packet: int, before: int, bits: int) -> None:
    """Both counted out over a time in which whole packets and whole cells pass."""
    pcr = Contract.parse(f"cbr:ip={bits}bps,packet={packet}", before).pcr
    assert pcr is not None
    seconds = 8 * packet
    cells = bits * cells_by_hand(packet, before)  # of the `bits` packets that pass in that time
    assert pcr * seconds >= cells > (pcr - 1) * seconds


@given(st.integers(1, 1500), headers, st.integers(1, 20), st.integers(1, 10), st.integers(0, 9),
       st.lists(st.tuples(st.integers(0, 3), st.integers(1, 8)), min_size=1, max_size=20))
def test_packets_within_their_bucket_conform(
        packet: int, before: int, rate: int, more: int, left: int, bursts: list[tuple[int, int]]) -> None:
    """The cells of packets that a token bucket lets in, and a peak rate lets out, conform to the contract.

    `bursts` are pauses, in the time of a packet, and packets that want to go.
    """
    bits = 8 * packet * rate
    burst = packet * (1 + left)
    contract = Contract.parse(
        f"nrt-vbr:ip={bits}bps,ip-peak={bits * (1 + more)}bps,burst={burst},packet={packet}", before)
    assert contract.pcr
    assert contract.scr
    assert contract.mbs
    cells = cells_by_hand(packet, before)
    assert (contract.scr, contract.pcr) == (cells * rate, cells * rate * (1 + more))
    tolerance = (contract.mbs - 1) * (Fraction(1, contract.scr) - Fraction(1, contract.pcr))
    now, tokens, theoretical = Fraction(0), Fraction(burst), Fraction(0)
    out = -Fraction(1, contract.pcr)  # no cell left before the first, so that one need not wait
    for pause, packets in bursts:
        span = Fraction(pause, rate)
        now, tokens = now + span, min(Fraction(burst), tokens + span * packet * rate)
        for _ in range(min(packets, int(tokens // packet))):
            tokens -= packet
            for _ in range(cells):
                out = max(now, out + Fraction(1, contract.pcr))
                assert out >= theoretical - tolerance
                theoretical = max(out, theoretical) + Fraction(1, contract.scr)


def test_a_map_for_vcs_with_another_encapsulation() -> None:
    plain = QosMap({}, {"CBR": "cbr:pcr=9"})
    assert plain.over(8) is plain
    derived = QosMap({"EF": "GFR"}, {"CBR": "cbr:ip=320bps,packet=40", "GFR": "gfr:pcr=9,mcr=5,mbs=9,tag"})
    llc = derived.over(8)
    assert (derived.contract(C.CBR).pcr, llc.contract(C.CBR).pcr, llc.over(0).contract(C.CBR).pcr) == (1, 2, 1)
    assert llc.category(46) is C.GFR
    assert llc.contract(C.GFR).category is C.GFR_2
