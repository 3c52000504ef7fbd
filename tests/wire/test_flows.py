"""Flow keys: one for each flow, compiled as plain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire import flows

PORTS = st.integers(0, 0xFFFF)
FLOWS = st.sampled_from([st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)]).flatmap(
    lambda addresses: st.tuples(st.integers(0, 255), addresses, PORTS, addresses, PORTS))


@given(flow=FLOWS)
def test_a_key_tells_its_flow_and_has_no_twin(flow: flows.Flow) -> None:
    key = flows.flow_key(*flow)
    assert flows.flow_of_key(key) == flow
    assert key == flows.flow_key_plainly(*flow)
    protocol, source, sport, destination, dport = flow
    back = flows.flow_key(protocol, destination, dport, source, sport)
    assert flows.reverse_key(key) == flows.reverse_key_plainly(key) == back
    assert flows.service_of_key(key) == flows.service_of_key_plainly(key) == destination + dport.to_bytes(2, "big")


@given(one=FLOWS, other=FLOWS, place=st.integers(0, 36))
def test_only_the_other_end_of_a_flow_is_its_reverse(one: flows.Flow, other: flows.Flow, place: int) -> None:
    key = flows.flow_key(*one)
    back = flows.reverse_key(key)
    other_bit = bytearray(back)
    other_bit[place % len(back)] ^= 1
    for second in (key, back, bytes(other_bit), back[:-1], flows.flow_key(*other), b""):
        is_reverse = flows.is_reverse(key, second)
        assert is_reverse == flows.is_reverse_plainly(key, second) == (second == back)


def test_its_octets() -> None:
    assert flows.flow_key(6, b"\x0a\x09\0\2", 40_000, b"\x0a\x50\0\1", 80) == bytes.fromhex(
        "06 0a090002 9c40 0a500001 0050")


@pytest.mark.parametrize(("protocol", "sport", "dport"), [
    (256, 1, 2), (-1, 1, 2), (6, 65_536, 2), (6, -1, 2), (6, 1, 65_536), (6, 1, 1 << 40)])
def test_numbers_that_do_not_fit_are_an_error(protocol: int, sport: int, dport: int) -> None:
    for make in (flows.flow_key, flows.flow_key_plainly):
        with pytest.raises(OverflowError):
            make(protocol, bytes(4), sport, bytes(4), dport)


@pytest.mark.parametrize("size", [0, 1, 12, 14, 36, 38])
def test_octets_that_are_no_key_have_no_reverse(size: int) -> None:
    for reverse in (flows.reverse_key, flows.reverse_key_plainly):
        with pytest.raises(ValueError, match=f"a flow key has 13 or 37 octets, this one has {size}"):
            reverse(bytes(size))
    for is_reverse in (flows.is_reverse, flows.is_reverse_plainly):
        with pytest.raises(ValueError, match=f"a flow key has 13 or 37 octets, this one has {size}"):
            is_reverse(bytes(size), bytes(13))


@pytest.mark.parametrize("flow", [(6, None, 1, bytes(4), 2), (6, bytes(4), 1, None, 2)])
def test_no_address_is_an_error(flow: flows.Flow) -> None:
    for make in (flows.flow_key, flows.flow_key_plainly):
        with pytest.raises(TypeError):
            make(*flow)
