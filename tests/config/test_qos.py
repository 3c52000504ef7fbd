"""IP to ATM: the default map, and a table's changes to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.config.qos import DSCP_NAMES, QosMap, dscp_name, parse_dscp

C = ServiceCategory
# Codepoints as RFC 2474, 2597, 3246, 5865 and 8622 give them.
DEFAULT_MAP = {
    C.CBR: [46, 44],
    C.RT_VBR_3: [40, 34, 36, 38],
    C.NRT_VBR_3: [26, 28, 30, 18, 20, 22],
    C.GFR: [10, 12, 14],
    C.NRT_VBR_1: [48, 56],
    C.UBR_2: [8, 1],
}
CLP_1 = {1, 8, 12, 14, 20, 22, 28, 30, 36, 38}


def test_the_default_map() -> None:
    named = {dscp: category for category, codepoints in DEFAULT_MAP.items() for dscp in codepoints}
    assert [QosMap().category(dscp) for dscp in range(64)] == [named.get(dscp, C.UBR_1) for dscp in range(64)]


def test_the_drop_precedence_is_the_clp() -> None:
    assert {dscp for dscp, clp in enumerate(QosMap().clp) if clp} == CLP_1
    assert set(QosMap().clp) == {0, 1}


@pytest.mark.parametrize(("name", "dscp"), [
    ("EF", 46), ("ef", 46), ("AF41", 34), ("AF13", 14), ("CS0", 0), ("DF", 0), ("BE", 0), ("CS7", 56), ("LE", 1),
    ("VA", 44), ("0", 0), ("63", 63), ("34", 34)])
def test_names_of_codepoints(name: str, dscp: int) -> None:
    assert parse_dscp(name) == dscp


@pytest.mark.parametrize("name", ["64", "-1", "AF44", "AF50", "CS8", "", "EF ", "0x2e", "4.5"])
def test_unknown_codepoints_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no DSCP: write 0 to 63 or one of CS0, CS1, .*EF") as caught:
        parse_dscp(name)
    assert str(caught.value).startswith(repr(name))


@given(st.integers(0, 63))
def test_a_codepoint_is_written_as_it_is_read(dscp: int) -> None:
    assert parse_dscp(dscp_name(dscp)) == dscp
    assert dscp_name(dscp) in DSCP_NAMES or dscp_name(dscp) == str(dscp)


def test_entries_change_only_their_codepoint() -> None:
    changed = QosMap({"EF": "ubr.2", "63": "CBR"})
    expected = list(QosMap().categories)
    expected[46], expected[63] = C.UBR_2, C.CBR
    assert changed.categories == expected
    assert changed.clp == QosMap().clp


def test_contracts() -> None:
    qos = QosMap(contracts={"cbr": "cbr:pcr=10k", "rt-VBR.3": "rt-vbr:pcr=2k,scr=1k,mbs=9,tag"})
    assert qos.contract(C.CBR) == Contract.parse("cbr:pcr=10kcps")
    assert qos.contract(C.RT_VBR_3).scr == 1000
    assert all(qos.contract(category) == Contract(category) for category in C if category not in (C.CBR, C.RT_VBR_3))


@pytest.mark.parametrize(("dscp", "contracts", "message"), [
    ({"EF9": "CBR"}, {}, "'EF9' is no DSCP"),
    ({"EF": "gold"}, {}, "'gold' is no service category"),
    ({}, {"gold": "cbr:pcr=1k"}, "'gold' is no service category"),
    ({}, {"CBR": "cbr"}, "CBR needs pcr"),
    ({}, {"CBR": "ubr"}, "the contract 'ubr' is UBR.1, but stands under CBR"),
    ({}, {"rt-VBR.1": "rt-vbr:pcr=2k,scr=1k,mbs=9,tag"}, "is rt-VBR.3, but stands under rt-VBR.1"),
])
def test_mistakes(dscp: dict[str, str], contracts: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        QosMap(dscp, contracts)
    assert message in str(caught.value)
