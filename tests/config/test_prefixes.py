"""The longest prefix, against a search of all networks."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.prefixes import PrefixTable
from tests.effort import examples

# Few distinct bits, so that networks hold one another.
ADDRESSES = st.one_of(
    st.integers(0, 255).map(lambda low: ipaddress.ip_address((0x0A51 << 16) + low * 0x0101)),
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
    st.integers(0, 255).map(lambda low: ipaddress.IPv6Address((0xFD << 120) + low * 0x01_0001)))


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = draw(ADDRESSES)
    return str(ipaddress.ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False))


@examples(300)
@given(st.lists(networks(), max_size=12), st.lists(ADDRESSES, min_size=1, max_size=8))
def test_the_longest_network_that_holds_the_address_gives_the_value(
        texts: list[str], addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> None:
    table = PrefixTable((text, number) for number, text in enumerate(texts))
    held = [(ipaddress.ip_network(text).prefixlen, -number) for number, text in enumerate(texts)]
    for address in (*addresses, *(ipaddress.ip_network(text)[0] for text in texts)):
        holding = [entry for entry, text in zip(held, texts, strict=True) if address in ipaddress.ip_network(text)]
        assert table.find(address.packed) == (-max(holding)[1] if holding else None)
    assert bool(table) == bool(texts)
