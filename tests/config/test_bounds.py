"""Every number of a VC table has bounds, and whatever lies within them starts and is taken over by running nodes.

The model is walked by type, so that a key that is added later has to have bounds, too.
"""

from __future__ import annotations

import copy
import tomllib
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from atmdepot.atm.line import Line
from atmdepot.commands.check import _plain
from atmdepot.config.model import Network
from atmdepot.config.reading import NetworkError, parse
from atmdepot.config.units import BitRate, CellRate, Dlci, DlciRange, Duration, TcpAddress, UdpAddress, Vci, VciRange
from atmdepot.drops import Drops
from tests.config.test_reading import DIRECT, dump
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork

NOW = 2**62 // 3
"""A monotonic clock of nanoseconds, after 48 years."""

C_LIMIT = 2**63
ENTRIES = {"nodes": "web1", "links": "to-web1", "vps": "web1", "servers": "web1", "services": "web", "from": "web1",
           "shared_vcs": "CBR", "ends": "web1", "vcs": "monitor", "queues": "GFR", "weights": "UBR", "depots": "main",
           "sync": "depot",
           "dlcis": "web1"}
"""The entry of a table in which a key is tried."""


class Number(NamedTuple):
    """A key that holds a number: values that are acceptable, the least first, and some beyond them."""

    path: tuple[str, ...]
    good: tuple[Any, ...]
    bad: tuple[Any, ...]


TEXTS: dict[type, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    Dlci: ((16, 991), (15, 0, -1, 992, 2**31, 10**19, 40.0, True)),
    DlciRange: (("17-17", 40, "200-991"), ("15-40", "40-992", f"40-{10**19}", "40-" + "9" * 5000, 10**19)),
    BitRate: (("1kbps", "100Gbps"), ("999bps", "101Gbps", "1kcps", f"{10**40}Gbps", 10**19)),
    Duration: (("0s", "1ns", "8760h"), ("-1s", "8760.1h", "9e9s", f"{10**19}ns", f"{10**40}h", 5, 10**19)),
    CellRate: (("1cps", "1Gcps"), ("0cps", "1.1Gcps", "-1cps", f"{10**19}cps", f"{10**40}Gbps", 10**19)),
    Vci: ((33, 65535), (31, 0, -1, 65536, 2**31, 10**19, 40.0, True)),
    VciRange: (("33-33", 40, "33-65534", "65535-65535"),
               ("31-40", "40-65536", f"40-{10**19}", "40-" + "9" * 5000, 10**19)),
    UdpAddress: (("172.31.1.2:1", "172.31.1.2:65535"), ("172.31.1.2:0", "172.31.1.2:65536", f"172.31.1.2:{10**19}")),
    TcpAddress: (("0.0.0.0:1", "0.0.0.0:65535"), ("0.0.0.0:0", "0.0.0.0:65536", f"0.0.0.0:{10**19}")),
}
BOUNDED = {
    ("links", "to-web1", "supervise"): ("10ms", "10s"), ("probing", "interval"): ("1ms", "8760h"),
    ("links", "to-web1", "lmi", "t391"): ("100ms", "14s"), ("links", "to-web1", "lmi", "t392"): ("11s", "1h"),
    ("probing", "timeout"): ("1ms", "8760h"), ("probing", "statistics"): ("0s", "1ms", "8760h"),
    ("depots", "main", "interval"): ("0s", "10ms", "8760h"), ("depots", "main", "announce"): ("10ms", "10s"),
    ("depots", "main", "silence"): ("200ms", "8760h"),
    ("depots", "main", "sync", "depot"): ("10.60.0.1:1", "10.60.0.1:65535"),
    ("depots", "main", "etcd", "0"): ("10.70.0.1:1", "h:65535")}
"""Texts with bounds of their own."""

BESIDE = {("links", "to-web1", "lmi", "n392"): ((1, 10), {"n393": 10}),
          ("links", "to-web1", "lmi", "n393"): ((1, 10), {"n392": 1}),
          ("dlcis", "web1", "bc"): ((12_032, 2**31 - 1), {"cir": "1Mbps"}),
          ("dlcis", "web1", "be"): ((0, 12_032, 2**31 - 1), {"cir": "1Mbps"}),
          ("sessions", "max_sessions"): ((2, 2**31 - 1), {"max_half_open": 1}),
          ("sessions", "max_half_open"): ((1, 2**31 - 2), {"max_sessions": 2**31 - 1}),
          ("probing", "statistics"): ((), {"statistics_timeout": "0s"}),
          ("probing", "statistics_timeout"): ((), {"statistics": "0s"}),
          ("depots", "main", "announce"): ((), {"silence": "20s"})}
"""Numbers that have to fit one another: what is acceptable, beside a value of another key."""


def numbers(kind: Any = Network, path: tuple[str, ...] = ()) -> list[Number]:
    """The keys of the model under a path that hold numbers."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return [number for part in parts if part is not NoneType for number in numbers(part, path)]
    if origin is Annotated and parts[0] in (int, float):
        return [bounded(parts[0], parts[1], path)]
    if origin is Annotated:
        return numbers(parts[0], path)
    if origin is dict:
        return numbers(parts[1], (*path, ENTRIES.get(path[-1], "?"))) if parts[1] is not str else []
    if origin is list:
        return numbers(parts[0], (*path, "0"))
    if kind in TEXTS:
        good, bad = TEXTS[kind]
        return [Number(path, BOUNDED.get(path, good), bad)]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        names = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
        return [number for name, key in names for number in numbers(hints[name], (*path, key))]
    assert kind not in (int, float), f"{'.'.join(path)} has no bounds"
    return []


def bounded(kind: type, meta: msgspec.Meta, path: tuple[str, ...]) -> Number:
    assert meta.ge is not None, f"{'.'.join(path)} has no least value"
    assert meta.le is not None, f"{'.'.join(path)} has no greatest value"
    assert -C_LIMIT <= meta.ge <= meta.le < C_LIMIT, f"{'.'.join(path)} is not held by 64 bits"
    if kind is float:
        good: tuple[Any, ...] = (meta.ge, 5e-324, 1e-12, meta.le)
        return Number(path, good, (-1e-9, 1.000001, float("nan"), float("inf"), float("-inf"), 10**19, 10**400, True))
    return Number(path, BESIDE[path][0] if path in BESIDE else (meta.ge, meta.le), (
        meta.ge - 1, meta.le + 1, 10**19, -10**19, 10**40, -C_LIMIT - 1, 1.5, float("nan"), float("inf"), True))


NUMBERS = numbers()
GOOD = [pytest.param(one.path, value, id=f"{'.'.join(one.path)}={value}") for one in NUMBERS for value in one.good]
BAD = [pytest.param(one.path, value, id=f"{'.'.join(one.path)}={str(value)[:24]}")
       for one in NUMBERS for value in one.bad]
SET: dict[str, Any] = {
    "nodes": {"depot2": {"kind": "depot"}},
    "links": {"second-to-web1": {"ends": {"depot2": "172.31.3.1:5503", "web1": "172.31.3.2:5503"}},
              "second-to-web2": {"ends": {"depot2": "172.31.4.1:5504", "web2": "172.31.4.2:5504"}}},
    "vps": {"second-web1": {"ends": ["depot2", "web1"], "vpi": 1, "session_vcis": "64-65535"},
            "second-web2": {"ends": ["depot2", "web2"], "vpi": 2, "session_vcis": "64-65535"}},
    "depots": {"main": {"nodes": ["depot", "depot2"], "gateway": ["10.9.0.1/24", "fd00:9::1/64"], "interface": "client",
                        "sync": {"depot": "10.60.0.1:7500", "depot2": "10.60.0.2:7500"}}}}
"""The text that makes of the table's depot a set of two."""
LIVE = {"servers", "services", "sessions", "probing"}


def table_with(path: tuple[str, ...], value: Any) -> str:
    """The text of a table with a value at a path; the rest is made to fit."""
    document: dict[str, Any] = copy.deepcopy(tomllib.loads(DIRECT))
    document["links"]["to-web1"] |= {"interface": "nni", "rate": "oc3"}
    if path[-1] == "wait_to_restore":
        second = {"ends": {"depot": "172.31.8.1:5508", "sw": "172.31.8.2:5508"}}
        third = {"ends": {"web1": "172.31.9.1:5509", "sw": "172.31.9.2:5509"}}
        document["links"] |= {"second": second, "third": third}
        document["nodes"]["sw"] = {"kind": "switch"}
        document["vps"]["web1"]["protect"] = ["sw"]
    if path[0] == "depots":
        for table, entries in SET.items():
            document[table] = document.get(table, {}) | copy.deepcopy(entries)
        if path[-2] == "etcd":
            document["depots"]["main"]["ownership"] = "etcd"
    if path[0] == "dlcis" or "lmi" in path:
        document["links"]["to-web1"] = {"bearer": "frame-relay", "ends": document["links"]["to-web1"]["ends"]}
        document["dlcis"] = {"web1": {"ends": ["depot", "web1"], "dlci": 100}}
        document["servers"]["web1"]["bearer"] = "frame-relay"
        del document["vps"]["web1"]
    if path[-1] == "listen_port":
        document["servers"]["web1"] = {"bearer": "rewrite", "address": ["10.70.0.11", "fd00:70::11"]}
        del document["nodes"]["web1"], document["links"]["to-web1"], document["vps"]["web1"]
    if path[0] == "vcs":
        document["vcs"] = {"monitor": {"ends": ["depot", "web1"], "vpi": 9, "vci": 100}}
    if path[-1] == "mtu":  # IPv6 would need 1280
        document["services"]["web"]["vip"] = ["10.80.0.1"]
    inner: Any = document
    for key, after in pairwise(path):
        if after == "0":
            inner[key] = [value]
            return dump(document)
        inner = inner.setdefault(key, {})
    if path[-2:] == ("shared_vcs", "CBR") or path[-1] in ("default_vci", "management_vci"):
        document["vps"]["web1"].pop("session_vcis", None)
    if path[-1] == "label":  # of a pseudowire
        inner |= {"format": "pwe3", "ends": {"depot": "172.31.1.1:6635", "web1": "172.31.1.2:6635"}}
    if path in BESIDE:
        inner.update(BESIDE[path][1])
    inner[path[-1]] = value
    return dump(document)


def encoded(network: Network) -> bytes:
    return msgspec.json.encode(network, enc_hook=_plain)


def drive(it: InMemoryNetwork) -> None:
    """A packet each way, and some time: nothing overflows, and nothing that is due stays due."""
    out = it.to_service(tcp(CLIENT4, 40000, VIP4, 80, SYN))
    assert set(out) <= {"web1", "web2"}
    for name in out:
        it.from_server(name, tcp(VIP4, 80, CLIENT4, 40000, SYN | ACK))
    it.advance(200 * SECOND)


def test_the_walk_finds_the_numbers() -> None:
    found = {one.path for one in NUMBERS}
    assert {("sessions", "max_sessions"), ("servers", "web1", "max_sessions"), ("reassembly", "octets"),
            ("links", "to-web1", "cell_loss"), ("links", "to-web1", "from", "web1", "seed"),
            ("services", "web", "ports", "0"), ("vps", "web1", "session_vcis"), ("probing", "status"),
            ("nodes", "web1", "mtu"), ("vps", "web1", "shared_vcs", "CBR")} <= found
    assert len(found) > 40


@pytest.mark.parametrize(("path", "value"), GOOD)
def test_values_within_bounds_start(path: tuple[str, ...], value: Any) -> None:
    network = parse(table_with(path, value), "t")
    assert msgspec.json.decode(encoded(network))
    it = InMemoryNetwork(network)
    it.now = NOW
    drive(it)
    for link in network.links.values():
        for node in link.ends:
            line = Line(link.line_from(node), Drops())
            line.enter(bytes(53 * 3), NOW)
            line.leave(NOW + SECOND)


@pytest.mark.parametrize(("path", "value"), [param for param in GOOD if param.values[0][0] in LIVE])
def test_values_within_bounds_are_reloaded(path: tuple[str, ...], value: Any) -> None:
    before, after = parse(DIRECT, "t"), parse(table_with(path, value), "t")
    it = InMemoryNetwork(before)
    it.now = NOW
    drive(it)
    for network in (after, before, after):
        for node in (it.depot, *it.edges.values()):
            node.reconfigure(network, it.now)
            assert node.network is network
        drive(it)


@pytest.mark.parametrize(("path", "value"), BAD)
def test_values_out_of_bounds_are_refused_with_their_place(path: tuple[str, ...], value: Any) -> None:
    if isinstance(value, float) and value != value:
        text = table_with(path, "NAN").replace('"NAN"', "nan")
    else:
        text = table_with(path, value)
    with pytest.raises(NetworkError) as caught:
        parse(text, "t")
    [problem] = caught.value.problems
    place, what = problem.split(": ", 2)[1:]
    assert problem.startswith("t:")
    assert place == ".".join(path)
    assert "write " in what
    assert "Expected" not in what


@pytest.mark.parametrize("value", ["0s", "999us", "1ns"])
@pytest.mark.parametrize("key", ["interval", "timeout", "statistics"])
def test_periodic_work_has_a_least_interval(key: str, value: str) -> None:
    text = f'{DIRECT}\n[probing]\n{key} = "{value}"\n'
    if (key, value) == ("statistics", "0s"):
        assert parse(text).probing.statistics == 0
        return
    with pytest.raises(NetworkError, match=rf"probing.{key}: .* is too short: write at least \"1ms\""):
        parse(text, "t")


@pytest.mark.parametrize(("statistics", "timeout", "good"), [
    ("5s", "3s", False), ("3s", "3s", False), ("3s", "3001ms", True), ("5s", "0s", True), ("0s", "3s", True)])
def test_reports_come_before_they_are_missed(statistics: str, timeout: str, good: bool) -> None:
    text = f'{DIRECT}\n[probing]\nstatistics = "{statistics}"\nstatistics_timeout = "{timeout}"\n'
    if good:
        assert parse(text).probing.statistics_timeout == Duration.parse(timeout)
        return
    with pytest.raises(NetworkError, match=r"probing\.statistics_timeout: "):
        parse(text, "t")


@pytest.mark.parametrize("contract", [
    "cbr:pcr=1", "cbr:pcr=1Gcps,cdvt=8760h", "gfr:pcr=1000000000,mcr=1,mbs=2147483647,mfs=2147483647,sdu=2147483647"])
def test_contracts_at_their_bounds(contract: str) -> None:
    category = contract[:3].upper()
    network = parse(DIRECT + f'\n[qos.contracts]\n{category} = "{contract}"\n')
    drive(InMemoryNetwork(network))


@pytest.mark.parametrize("word", [
    "pcr=1000000001", "pcr=2Gcps", f"pcr={10**19}", "pcr=" + "9" * 5000, "mbs=2147483648", f"sdu={10**19}",
    "mfs=" + "9" * 5000, "cdvt=8761h", "mbs=0"])
def test_contracts_beyond_their_bounds(word: str) -> None:
    rest = "pcr=1," if not word.startswith("pcr") else ""
    with pytest.raises(NetworkError, match=r"^t:[0-9]+: qos\.contracts\.CBR: "):
        parse(DIRECT + f'\n[qos.contracts]\nCBR = "cbr:{rest}{word}"\n', "t")


@pytest.mark.parametrize(("old", "new"), [
    ('name = "direct"', 'name = "direct\\n"'), ('kind = "depot"', 'kind = "depot"\ntun = "atm0\\n"'),
    ("# What clients", '[probing]\npath = "/\\n"\n# What clients'),
    ("# What clients", f'[probing]\npath = "/{"x" * 2000}"\n# What clients'),
])
def test_a_pattern_holds_for_the_whole_of_a_text(old: str, new: str) -> None:
    assert old in DIRECT
    with pytest.raises(NetworkError):
        parse(DIRECT.replace(old, new, 1))
