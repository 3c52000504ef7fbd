"""Values with units: what is read, how it is written back, and what is said of mistakes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.units import (
    LINE_RATES,
    BitRate,
    CellRate,
    Dlci,
    DlciRange,
    Duration,
    IpAddress,
    TcpAddress,
    UdpAddress,
    Vci,
    VciRange,
)

UNITS: list[Any] = [BitRate, CellRate, Dlci, DlciRange, Duration, IpAddress, TcpAddress, UdpAddress, Vci, VciRange]
RATE_HINT = ("write cells per second (cps, kcps, Mcps), user bits per second (kbps, Mbps, Gbps) or one of "
             "ds3, oc3, stm1, oc12, oc48")
NO_RATE = f"{{!r}} is no rate: {RATE_HINT}"
NO_UNIT = f'a rate needs a unit, as in "{{}}cps": {RATE_HINT}'
NO_DURATION = '{!r} is no duration: write a number and ns, us, ms, s, min or h, as in "5ms"'
NO_UDP = '{!r} is no UDP address: write "10.0.0.1:5501" or "[2001:db8::1]:5501"'
NO_VCI = "{!r} is no VCI: write a whole number from 32 to 65535"

toml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3))


@pytest.mark.parametrize(("kind", "text", "value"), [
    (Duration, "5ms", 5_000_000), (Duration, "0s", 0), (Duration, "1.5us", 1500), (Duration, " 20 min ", 1200 * 10**9),
    (Duration, "2h", 7200 * 10**9), (Duration, "7ns", 7), (Duration, "0.1s", 100_000_000),
    (CellRate, "353207cps", 353_207), (CellRate, "10kcps", 10_000), (CellRate, "1.5Mcps", 1_500_000),
    (CellRate, "1Gcps", 10**9), (CellRate, "384bps", 1), (CellRate, "767bps", 1), (CellRate, "768bps", 2),
    (CellRate, "4Mbps", 10_416), (CellRate, "155 Mbps", 403_645), (CellRate, "oc3", 353_207),
    (CellRate, "STM1", 353_207), (CellRate, "ds3", 96_000), (CellRate, "oc12", 1_412_830),
    (CellRate, "oc48", 5_651_320),
    (Vci, 32, 32), (Vci, 65535, 65535),
    (VciRange, "64-65535", "64-65535"), (VciRange, " 40 - 40 ", "40-40"), (VciRange, 100, "100-100"),
    (DlciRange, "200-991", "200-991"), (Dlci, 16, 16), (BitRate, "64 kbps", 64_000), (BitRate, "2000kbps", 2_000_000),
    (IpAddress, "10.80.0.1", "10.80.0.1"), (IpAddress, "2001:DB8:0:0::1", "2001:db8::1"),
    (UdpAddress, "10.0.0.1:5501", "10.0.0.1:5501"), (UdpAddress, "[2001:DB8::1]:1", "[2001:db8::1]:1"),
    (UdpAddress, "depot.example:65535", "depot.example:65535"), (UdpAddress, "10.0.0.1:*", "10.0.0.1:*"),
    (UdpAddress, "[2001:DB8::1]:*", "[2001:db8::1]:*"), (TcpAddress, "0.0.0.0:9464", "0.0.0.0:9464"),
])
def test_what_is_read(kind: Any, text: object, value: object) -> None:
    parsed = kind.parse(text)
    assert type(parsed) is kind
    assert parsed == value


@pytest.mark.parametrize(("kind", "text", "message"), [
    (Duration, "5", NO_DURATION), (Duration, 5, NO_DURATION), (Duration, "5 weeks", NO_DURATION),
    (Duration, "-5ms", NO_DURATION), (Duration, "ms", NO_DURATION), (Duration, None, NO_DURATION),
    (Duration, "5MS", NO_DURATION), (Duration, "1e3ms", NO_DURATION),
    (CellRate, 1000, NO_UNIT), (CellRate, "1000", NO_UNIT), (CellRate, 1000.5, NO_UNIT),
    (CellRate, "1000 cells", NO_RATE), (CellRate, "10Kcps", NO_RATE), (CellRate, True, NO_RATE),
    (CellRate, float("nan"), NO_RATE), (CellRate, -5, NO_RATE), (CellRate, "oc192", NO_RATE), (CellRate, [], NO_RATE),
    (CellRate, "0cps", '{!r} is less than one cell per second: write at least "1cps"'),
    (CellRate, "383bps", '{!r} is less than one cell per second: write at least "1cps"'),
    (Vci, 31, "VCI {} is reserved (ITU-T I.361 keeps 0 to 31): write 32 to 65535"),
    (Vci, 0, "VCI {} is reserved (ITU-T I.361 keeps 0 to 31): write 32 to 65535"),
    (Vci, -1, "VCI {} does not fit its 16 bits: write 32 to 65535"),
    (Vci, 65536, "VCI {} does not fit its 16 bits: write 32 to 65535"),
    (Vci, "32", NO_VCI), (Vci, True, NO_VCI), (Vci, 32.0, NO_VCI),
    (VciRange, "64", '{!r} is no range of VCIs: write "64-65535"'),
    (Dlci, 15, "DLCI {} is reserved (ITU-T Q.922): write 16 to 991"),
    (Dlci, "100", "{!r} is no DLCI: write a whole number from 16 to 991"),
    (DlciRange, "200", '{!r} is no range of DLCIs: write "200-991"'),
    (DlciRange, "200-992", "DLCI 992 is reserved (ITU-T Q.922): write 16 to 991"),
    (BitRate, "64kcps", '{!r} is no rate of bits: write "64kbps", "2Mbps" or the like'),
    (BitRate, "999bps", '{!r} is out of bounds: write "1kbps" to "100Gbps"'),
    (VciRange, "a-b", '{!r} is no range of VCIs: write "64-65535"'),
    (VciRange, 1.5, '{!r} is no range of VCIs: write "64-65535"'),
    (VciRange, True, NO_VCI),
    (VciRange, "100-64", 'the range {} runs backwards: write "64-100"'),
    (VciRange, "16-64", "VCI 16 is reserved (ITU-T I.361 keeps 0 to 31): write 32 to 65535"),
    (VciRange, "64-65536", "VCI 65536 does not fit its 16 bits: write 32 to 65535"),
    (IpAddress, "10.80.0.256", '{!r} is no IP address: write "10.80.0.1" or "2001:db8::1"'),
    (IpAddress, "10.80.0.1/24", '{!r} is no IP address: write "10.80.0.1" or "2001:db8::1"'),
    (IpAddress, 3, '{!r} is no IP address: write "10.80.0.1" or "2001:db8::1"'),
    (UdpAddress, "10.0.0.1", NO_UDP), (UdpAddress, ":5501", NO_UDP), (UdpAddress, "10.0.0.1:", NO_UDP),
    (UdpAddress, "2001:db8::1:5501", NO_UDP), (UdpAddress, 5501, NO_UDP), (UdpAddress, "a b:1", NO_UDP),
    (UdpAddress, "10.0.0.1:0", "0 is no UDP port: write 1 to 65535"),
    (UdpAddress, "10.0.0.1:65536", "65536 is no UDP port: write 1 to 65535"),
    (UdpAddress, "10.0.0.300:1", "'10.0.0.300' is no IP address: write \"10.80.0.1\" or \"2001:db8::1\""),
    (UdpAddress, "[fd00::g]:1", NO_UDP), (UdpAddress, ":*", NO_UDP), (UdpAddress, "10.0.0.1:**", NO_UDP),
    (TcpAddress, "10.0.0.1:*", NO_UDP.replace("UDP", "TCP")),
    (TcpAddress, "a:0", "0 is no TCP port: write 1 to 65535"),
    (UdpAddress, "[1:2]:1", "'1:2' is no IP address: write \"10.80.0.1\" or \"2001:db8::1\""),
])
def test_mistakes_have_their_messages(kind: Any, text: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        kind.parse(text)
    assert str(caught.value) == message.format(text)


@pytest.mark.parametrize("kind", UNITS)
@given(value=toml_values)
def test_only_value_error_escapes(kind: Any, value: object) -> None:
    try:
        parsed = kind.parse(value)
    except ValueError as error:
        assert str(error)  # noqa: PT017
    else:
        assert kind.parse(value) == parsed


@given(st.integers(0, 8760 * 3600 * 10**9))
def test_a_duration_is_written_as_it_is_read(nanoseconds: int) -> None:
    assert Duration.parse(str(Duration(nanoseconds))) == nanoseconds


@pytest.mark.parametrize(("nanoseconds", "text"), [
    (0, "0ns"), (1, "1ns"), (1500, "1500ns"), (5_000_000, "5ms"), (60 * 10**9, "1min"), (90 * 10**9, "90s"),
    (3600 * 10**9, "1h"), (5400 * 10**9, "90min")])
def test_a_duration_has_the_greatest_unit_that_divides_it(nanoseconds: int, text: str) -> None:
    assert str(Duration(nanoseconds)) == text


@given(st.integers(1, 10**9))
def test_a_rate_is_written_as_it_is_read(rate: int) -> None:
    assert CellRate.parse(str(CellRate(rate))) == rate


@given(st.integers(1, 10**9))
def test_a_rate_in_bits_counts_48_octets_a_cell(cells: int) -> None:
    assert CellRate.parse(f"{cells * 384}bps") == CellRate.parse(f"{cells}cps") == cells


def test_line_rates_are_payload_rates_over_424_bits() -> None:
    payload_kbps = {"oc3": 149_760, "stm1": 149_760, "oc12": 599_040, "oc48": 2_396_160}
    assert {name: 1000 * rate // 424 for name, rate in payload_kbps.items()} | {"ds3": 96_000} == LINE_RATES


@given(st.integers(32, 65535), st.integers(32, 65535), st.integers(0, 70000))
def test_a_range_holds_its_ends_and_the_numbers_between(one: int, other: int, vci: int) -> None:
    first, last = sorted((one, other))
    vcis = VciRange.parse(f"{first}-{last}")
    assert (vcis.first, vcis.last) == (first, last)
    assert vcis.holds(vci) == (vci in range(first, last + 1))
    assert vcis.holds(first)
    assert vcis.holds(last)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_addresses(address: Any, port: int) -> None:
    ip = IpAddress.parse(address.exploded)
    assert (ip, ip.packed, ip.version) == (str(address), address.packed, address.version)
    udp = UdpAddress.parse(f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}")
    assert (udp.host, udp.port) == (str(address), port)
    assert UdpAddress.of(udp.host, udp.port) == udp
    unknown = UdpAddress.parse(f"{udp.removesuffix(str(port))}*")
    assert (unknown.host, unknown.port, UdpAddress.of(unknown.host, 0)) == (str(address), 0, unknown)


@pytest.mark.parametrize(("kind", "text", "said"), [
    (Duration, "8761h", "longer than a year"), (Duration, "9" * 40 + "s", "is no duration"),
    (CellRate, "2Gcps", "more than one cell in a nanosecond"), (CellRate, "9" * 40 + "cps", "is no rate"),
    (IpAddress, "fe80::1%eth0", "is no IP address"),
])
def test_values_without_sense_are_refused(kind: type, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind.parse(text)
