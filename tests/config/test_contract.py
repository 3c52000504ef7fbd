"""Traffic contracts: what qos(7) strings mean, and which word an error names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.config.units import CellRate, Duration

C = ServiceCategory
VBR = "pcr=20kcps,scr=5kcps,mbs=200"


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
    ("abr:pcr=4Mbps,min_pcr=384kbps", contract(C.ABR, pcr=10_416, mcr=1000)),
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


NO_CATEGORY = ('"{}" is no service category: begin with cbr, rt-vbr, nrt-vbr, gfr, abr or ubr, as in '
               '"cbr,aal5:pcr=10kcps"')
NO_PARAMETER = '"{}" is no parameter: write pcr=, scr=, mcr=, mbs=, mfs=, cdvt=, sdu= or tag'
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
    ("abr", "ABR needs pcr: add pcr=..."),
    ("cbr:pcr=1k,tag", '"tag" does not go with CBR: only VBR, UBR and GFR tag cells'),
    ("abr:tag,pcr=1k", '"tag" does not go with ABR: only VBR, UBR and GFR tag cells'),
    ("rt-vbr:pcr=1k,scr=2k,mbs=9", "scr (2000cps) is above pcr (1000cps): a peak is never below a mean"),
    ("gfr:pcr=1k,mcr=2k,mbs=9", "mcr (2000cps) is above pcr (1000cps): a peak is never below a mean"),
    (5, "5 is no contract: write a text such as \"cbr,aal5:pcr=10kcps\""),
    (None, "None is no contract: write a text such as \"cbr,aal5:pcr=10kcps\""),
])
def test_errors_name_the_word(text: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Contract.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("category", ServiceCategory)
def test_every_category_can_be_written_by_its_name(category: ServiceCategory) -> None:
    text = f"{category}:pcr=20k,scr=5k,mcr=2k,mbs=200"
    assert Contract.parse(text).category is category
    assert ServiceCategory.parse(category.upper()) is category


@pytest.mark.parametrize("text", ["vbr", "rt-vbr", "", "UBR", "ubr.3", None, 5])
def test_unknown_categories_are_refused(text: object) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        ServiceCategory.parse(text)
    assert str(caught.value) == (f"{text!r} is no service category: write one of CBR, rt-VBR.1, rt-VBR.2, rt-VBR.3, "
                                 "nrt-VBR.1, nrt-VBR.2, nrt-VBR.3, GFR, ABR, UBR.1, UBR.2")


def test_which_categories_tag() -> None:
    assert [category for category in ServiceCategory if category.tags] == [C.RT_VBR_3, C.NRT_VBR_3, C.UBR_2]


@given(st.sampled_from(ServiceCategory), st.lists(st.integers(1, 10**7), min_size=3, max_size=3),
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
                         "k", "cps", "Mbps", "5ms", " ", "-", "\u0663", "\x00"])


@given(st.one_of(st.lists(words, max_size=20).map("".join), st.text(max_size=30)))
def test_only_value_error_escapes(text: str) -> None:
    try:
        parsed = Contract.parse(text)
    except ValueError:
        return
    assert Contract.parse(str(parsed)) == parsed
