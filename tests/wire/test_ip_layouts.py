"""The views of IP, TCP and UDP against the executable specification, in both directions, as in `test_layouts.py`."""

from __future__ import annotations

from typing import Any

import pytest
from construct import ConstructError
from hypothesis import assume, given
from hypothesis import strategies as st

from atmdepot.wire import ip_layouts
from atmdepot.wire.ip import Ipv4View, Ipv6View, MalformedPacket, internet_checksum
from atmdepot.wire.packet import analyse
from atmdepot.wire.tcp import TcpView
from tests.effort import examples
from tests.packets import (
    address4,
    address6,
    damaged,
    ipv4_packets,
    ipv6_packets,
    octet,
    port,
    tcp_segments,
    udp_datagrams,
    word,
)


@given(st.binary(max_size=80))
def test_internet_checksum(octets: bytes) -> None:
    assert ip_layouts.internet_checksum(octets) == internet_checksum(octets)


# ── IP ──

@st.composite
def ipv4_fields(draw: st.DrawFn) -> dict[str, Any]:
    words = draw(st.integers(0, 10))
    return {
        "header": {
            "dscp": draw(st.integers(0, 63)), "ecn": draw(st.integers(0, 3)), "identification": draw(port),
            "dont_fragment": draw(st.booleans()), "more_fragments": draw(st.booleans()),
            "fragment_offset": draw(st.integers(0, 0x1FFF)),
            "time_to_live": draw(octet), "protocol": draw(octet),
            "source_address": draw(address4), "destination_address": draw(address4)},
        "options": draw(st.binary(min_size=4 * words, max_size=4 * words)),
        "payload": draw(st.binary(max_size=60)),
    }


def agrees_ipv4(view: Ipv4View, seen: Any) -> None:
    header = seen.header
    assert (view.dscp, view.ecn, view.identification, view.ttl, view.protocol) == (
        header.dscp, header.ecn, header.identification, header.time_to_live, int(header.protocol))
    assert (view.dont_fragment, view.more_fragments, view.fragment_offset) == (
        header.dont_fragment, header.more_fragments, header.fragment_offset * 8)
    assert (view.source, view.destination, view.payload) == (
        header.source_address, header.destination_address, seen.payload)
    assert (view.header_length, view.total_length) == (header.ihl * 4, header.total_length)


@given(ipv4_fields())
def test_ipv4_build(fields: dict[str, Any]) -> None:
    packet = ip_layouts.IPV4.build(fields)
    view = Ipv4View(packet)
    assert view.checksum_ok
    assert (view.payload, view.total_length) == (fields["payload"], len(packet))
    assert view.fragment_offset == fields["header"]["fragment_offset"] * 8
    agrees_ipv4(view, ip_layouts.IPV4.parse(packet))


@given(st.one_of(ipv4_packets(), damaged(ipv4_packets())))
@examples(200)
def test_ipv4_parse(octets: bytes) -> None:
    try:
        seen = ip_layouts.IPV4.parse(octets)
    except ConstructError:
        with pytest.raises(MalformedPacket):
            Ipv4View(octets)
    else:
        agrees_ipv4(Ipv4View(octets), seen)


@st.composite
def ipv6_extensions(draw: st.DrawFn, depth: int = 4) -> tuple[int, dict[str, Any] | None]:
    """A next header number and the extension headers that it begins."""
    kind = draw(st.sampled_from([6, 17, 59, 99])) if depth == 0 else draw(
        st.sampled_from([0, 43, 44, 51, 60, 6, 17, 58, 99]))
    if kind not in (0, 43, 44, 51, 60):
        return kind, None
    following, extension = draw(ipv6_extensions(depth - 1))
    common = {"next_header": following, "extension": extension}
    units = draw(st.integers(0, 2))
    if kind == 44:
        offset = draw(st.integers(0, 0x1FFF)) if extension is None else 0
        fragmentation = {"fragment_offset": offset, "more_fragments": draw(st.booleans())}
        return kind, common | {"fragmentation": fragmentation, "identification": draw(word)}
    if kind == 51:
        return kind, common | {"sequence_number_and_icv": bytes(4 * units)}
    return kind, common | {"data": bytes(6 + 8 * units)}


def chain_of(seen: Any) -> list[Any]:
    """The extension headers, one after the other."""
    chain, extension = [], seen.contents.extension
    while extension is not None:
        chain.append(extension)
        extension = extension.extension
    return chain


def agrees_ipv6(view: Ipv6View, seen: Any) -> None:
    header, chain = seen.header, chain_of(seen)
    word = header.first_word
    assert (view.dscp, view.ecn, view.flow_label) == (word.dscp, word.ecn, word.flow_label)
    assert (view.source, view.destination) == (header.source_address, header.destination_address)
    assert view.total_length == 40 + header.payload_length
    assert view.protocol == int(chain[-1].next_header if chain else header.next_header)
    assert view.payload == seen.contents.payload
    fragments = [one for one in chain if "fragmentation" in one]
    last = fragments[-1] if fragments else None
    assert view.fragment_offset == (last.fragmentation.fragment_offset * 8 if last else 0)
    assert view.more_fragments == (last.fragmentation.more_fragments if last else False)
    assert view.identification == (last.identification if last else 0)


@given(st.integers(0, 63), st.integers(0, 0xFFFFF), address6, address6, ipv6_extensions(),
       st.binary(max_size=40))
def test_ipv6_build(dscp: int, label: int, source: bytes, destination: bytes, extensions: tuple[int, Any],
                    payload: bytes) -> None:
    next_header, extension = extensions
    packet = ip_layouts.IPV6.build({
        "header": {"first_word": {"dscp": dscp, "flow_label": label}, "next_header": next_header,
                   "source_address": source, "destination_address": destination},
        "contents": {"extension": extension, "payload": payload}})
    view = Ipv6View(packet)
    assert (view.dscp, view.payload, view.total_length) == (dscp, payload, len(packet))
    while extension is not None:
        next_header, extension = extension["next_header"], extension["extension"]
    assert view.protocol == next_header
    agrees_ipv6(view, ip_layouts.IPV6.parse(packet))


@given(st.one_of(ipv6_packets(), damaged(ipv6_packets())))
@examples(200)
def test_ipv6_parse(octets: bytes) -> None:
    try:
        seen = ip_layouts.IPV6.parse(octets)
    except ConstructError:
        with pytest.raises(MalformedPacket):
            Ipv6View(octets)
    else:
        assume(len(chain_of(seen)) < 16)
        agrees_ipv6(Ipv6View(octets), seen)


# ── TCP and UDP ──

FLAGS = ("cwr", "ece", "urg", "ack", "psh", "rst", "syn", "fin")
options = st.lists(st.one_of(
    st.just({"kind": "nop"}),
    st.builds(lambda value: {"kind": "mss", "value": value}, port),
    st.builds(lambda value: {"kind": "window_scale", "value": value}, octet),
    st.just({"kind": "sack_permitted", "value": b""}),
    st.builds(lambda value, echo: {"kind": "timestamps", "value": {"ts_value": value, "ts_echo_reply": echo}},
              word, word),
    st.builds(lambda left, right: {"kind": "sack", "value": [{"left_edge": left, "right_edge": right}]},
              word, word),
    st.builds(lambda kind, value: {"kind": kind, "value": value}, st.integers(20, 255),
              st.binary(max_size=6)),
), max_size=4)


def agrees_tcp(view: TcpView, seen: Any) -> None:
    assert (view.source_port, view.destination_port) == (seen.source_port, seen.destination_port)
    assert (view.sequence, view.acknowledgment) == (seen.sequence_number, seen.acknowledgment_number)
    assert f"{view.flags:08b}" == "".join(str(int(seen.control[flag])) for flag in FLAGS)
    assert (view.window, view.header_length, view.payload) == (
        seen.window, seen.control.data_offset * 4, seen.data)
    written = {int(one.kind): ip_layouts.TCP_OPTION.build(one)[2:] for one in seen.options.list}
    assert view.options == {kind: value for kind, value in written.items() if kind != 1}
    values = {(str(one.kind), one.length): one.value for one in seen.options.list}
    if [str(one.kind) for one in seen.options.list].count("mss") < 2:
        assert view.mss == values.get(("mss", 4))
    if [str(one.kind) for one in seen.options.list].count("window_scale") < 2:
        scale = values.get(("window_scale", 3))
        assert view.window_scale == (None if scale is None else min(scale, 14))


@given(port, port, word, word, st.sets(st.sampled_from(FLAGS)), port, options, st.binary(max_size=30))
def test_tcp_build(source: int, destination: int, sequence: int, acknowledgment: int, flags: set[str],
                   window: int, chosen: list[dict[str, Any]], payload: bytes) -> None:
    segment = ip_layouts.TCP.build({
        "source_port": source, "destination_port": destination, "sequence_number": sequence,
        "acknowledgment_number": acknowledgment, "control": dict.fromkeys(flags, True), "window": window,
        "options": {"list": chosen}, "data": payload})
    view = TcpView(segment)
    assert view.payload == payload
    assert (view.source_port, view.destination_port, view.window) == (source, destination, window)
    assert set(view.options) == {int(ip_layouts.TCP_OPTION.parse(ip_layouts.TCP_OPTION.build(one)).kind)
                                 for one in chosen} - {1}
    agrees_tcp(view, ip_layouts.TCP.parse(segment))


@given(st.one_of(tcp_segments(), damaged(tcp_segments())))
@examples(200)
def test_tcp_parse(octets: bytes) -> None:
    try:
        seen = ip_layouts.TCP.parse(octets)
    except ConstructError:
        with pytest.raises(MalformedPacket):
            TcpView(octets)
    else:
        agrees_tcp(TcpView(octets), seen)


@given(udp_datagrams())
def test_udp(datagram: bytes) -> None:
    seen = ip_layouts.UDP.parse(datagram)
    names = ("source_port", "destination_port", "checksum", "data")
    assert ip_layouts.UDP.build({name: seen[name] for name in names}) == datagram
    packet = analyse(ip_layouts.IPV4.build({
        "header": {"protocol": "udp", "source_address": bytes(4), "destination_address": bytes(4)},
        "payload": datagram}))
    assert (packet.source_port, packet.destination_port) == (seen.source_port, seen.destination_port)
