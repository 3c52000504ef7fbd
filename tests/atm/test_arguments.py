"""The library's answers to wrong values: the same from the compiled modules and from plain Python."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import atmdepot
from atmdepot import Contract, CrcMode, Encapsulation, Interface, Reassembler, ServiceCategory, Vc, VcTable, segment

FOUR = b"\x45" + bytes(19)


@pytest.mark.parametrize(("field", "value", "member"), [
    ("encapsulation", "vc-mux", Encapsulation.VC_MUX), ("encapsulation", "llc-bridged", Encapsulation.LLC_BRIDGED),
    ("crc", "dynamips", CrcMode.DYNAMIPS), ("encapsulation", Encapsulation.LLC, Encapsulation.LLC)])
def test_a_value_stands_for_its_member(field: str, value: str, member: object) -> None:
    assert getattr(Vc(1, 64, **{field: value}), field) is member  # type: ignore[arg-type]


@pytest.mark.parametrize("encapsulation", [Encapsulation.VC_MUX, Encapsulation.LLC])
@pytest.mark.parametrize("crc", CrcMode)
def test_a_vc_of_values_sends_as_one_of_members(encapsulation: Encapsulation, crc: CrcMode) -> None:
    of_values = Vc(1, 64, encapsulation=encapsulation.value, crc=crc.value)
    assert segment(FOUR, of_values) == segment(FOUR, Vc(1, 64, encapsulation=encapsulation, crc=crc))


def test_an_nni_by_its_value_has_twelve_bits_of_vpi() -> None:
    vc = Vc(4000, 64, interface="nni")
    receiver = Reassembler(VcTable(vc), interface="nni")
    assert receiver.interface is Interface.NNI
    assert [sdu.octets for sdu in receiver.receive(segment(FOUR, vc), now=0)] == [FOUR]


def test_a_contract_may_be_given_as_text() -> None:
    vc = Vc(1, 64, contract="cbr:pcr=10kcps")
    assert (vc.category, vc.contract) == (ServiceCategory.CBR, Contract.parse("cbr:pcr=10kcps"))


@pytest.mark.parametrize(("field", "value", "right"), [
    ("encapsulation", "foo", "vc-mux, llc, vc-mux-bridged, llc-bridged"), ("encapsulation", None, "vc-mux"),
    ("crc", "STRICT", "strict, dynamips, ignore"), ("interface", "UNI", "uni, nni"),
    ("contract", "foo", "ubr"), ("contract", "cbr", "pcr="), ("contract", 5, "cbr,aal5:pcr=10kcps"),
    ("max_sdu", 0, "1 to 65535"), ("max_sdu", 70000, "1 to 65535"), ("max_sdu", -1, "1 to 65535"),
    ("vpi", 256, "0 to 255"), ("vpi", -1, "0 to 255"), ("vci", 65536, "0 to 65535")])
def test_a_wrong_value_of_a_vc_is_refused_with_its_field_and_what_is_right(
    field: str, value: object, right: str,
) -> None:
    with pytest.raises(ValueError, match=f"^{field}.*{right}"):
        Vc(**{"vpi": 1, "vci": 64, field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["vpi", "vci", "max_sdu"])
@pytest.mark.parametrize("value", ["1", 1.0, None])
def test_a_number_of_another_type_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{field} .*: write "):
        Vc(**{"vpi": 1, "vci": 64, field: value})


@pytest.mark.parametrize(("field", "least"), [("timeout", 0), ("max_octets", 0)])
def test_a_reassembler_refuses_bounds_that_are_none(field: str, least: int) -> None:
    Reassembler(VcTable(), **{field: least})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^{field} {least - 1} .*: write {least} or more"):
        Reassembler(VcTable(), **{field: least - 1})  # type: ignore[arg-type]
    for other in ("1", 1.5):
        with pytest.raises(TypeError, match=f"^{field} .*: write {least} or more"):
            Reassembler(VcTable(), **{field: other})  # type: ignore[arg-type]


def test_what_is_no_table_or_no_vc_is_refused() -> None:
    vc = Vc(1, 64)
    with pytest.raises(TypeError, match="write Reassembler"):
        Reassembler(vc)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="write VcTable"):
        VcTable([vc])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="write segment"):
        segment(vc, FOUR)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^packet is of type str"):
        segment("text", vc)  # type: ignore[arg-type]


@pytest.mark.parametrize("cells", [53, "cells", None])
def test_cells_are_octets(cells: Any) -> None:
    with pytest.raises(TypeError):
        Reassembler(VcTable()).receive(cells, now=0)


def test_a_table_is_not_made_of_two_vcs_with_the_same_numbers() -> None:
    with pytest.raises(ValueError, match="1/64 is already open"):
        VcTable(Vc(1, 64), Vc(1, 65), Vc(1, 64))


@pytest.mark.parametrize("clp", [-1, 2, 256])
def test_another_clp_is_refused_and_nothing_counted(clp: int) -> None:
    vc = Vc(1, 64)
    with pytest.raises(ValueError, match=f"^clp {clp} .*: write 0 to 1"):
        segment(FOUR, vc, clp=clp)
    with pytest.raises(TypeError, match=r"^clp "):
        segment(FOUR, vc, clp="1")  # type: ignore[arg-type]
    assert (vc.tx_pdus, vc.tx_cells) == (0, 0)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([Encapsulation.VC_MUX, Encapsulation.LLC]))
def test_a_vc_sends_no_sdu_that_its_far_end_would_drop(size: int, most: int, encapsulation: Encapsulation) -> None:
    vc = Vc(1, 64, max_sdu=most, encapsulation=encapsulation)
    packet = b"\x45" * size
    if size + encapsulation.overhead > most:
        with pytest.raises(ValueError, match=f"1 to {most} octets, its max_sdu"):
            segment(packet, vc)
        assert vc.tx_pdus == 0
    else:
        [sdu] = Reassembler(VcTable(vc)).receive(segment(packet, vc), now=0)
        assert sdu.octets[encapsulation.overhead:] == packet


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_packet_may_be_any_octets(kind: type) -> None:
    assert segment(kind(FOUR), Vc(1, 64, encapsulation="llc")) == segment(FOUR, Vc(1, 64, encapsulation="llc"))


@pytest.mark.parametrize(("function", "parameters"), [
    (segment, ["packet", "vc", "clp"]), (atmdepot.hec, ["octets"]),
    (atmdepot.decapsulate, ["sdu", "encapsulation"]), (Reassembler.receive, ["self", "cells", "now"]),
    (Vc.__init__, ["self", "vpi", "vci", "interface", "contract", "encapsulation", "crc", "max_sdu"]),
    (Reassembler.__init__, ["self", "table", "interface", "timeout", "max_octets", "drops"])])
def test_help_shows_the_arguments(function: Any, parameters: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == parameters


@pytest.mark.parametrize("name", [name for name in atmdepot.__all__ if isinstance(getattr(atmdepot, name), type)])
def test_every_public_class_has_a_signature(name: str) -> None:
    public = getattr(atmdepot, name)
    arguments = inspect.signature(public).parameters
    assert "self" not in arguments
    # An exception without arguments of its own has those of ValueError, which takes any.
    assert "kwargs" not in arguments or name == "EncapsulationError"


def test_the_signature_of_a_class_is_that_of_its_init() -> None:
    assert list(inspect.signature(Vc).parameters) == [
        "vpi", "vci", "interface", "contract", "encapsulation", "crc", "max_sdu"]
    assert inspect.signature(Vc).parameters["max_sdu"].default == 65535
    assert str(inspect.signature(atmdepot.HecReceiver)).startswith("()")
    assert str(inspect.signature(VcTable)).startswith("(*vcs")

    class Derived(Vc):
        def __init__(self, name: str) -> None:
            Vc.__init__(self, 1, 64)
            self.name = name

    assert list(inspect.signature(Derived).parameters) == ["name"]


def test_every_public_name_is_there() -> None:
    assert {"Payload", "EncapsulationError"} <= set(atmdepot.__all__)
    assert [name for name in atmdepot.__all__ if not hasattr(atmdepot, name)] == []
