"""Names from VC tables for the VCs that a trace sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.reading import load, parse, shipped_tables
from atmdepot.trace.names import UNNAMED, VcBook, VcName
from atmdepot.wire.aal5 import CrcMode
from atmdepot.wire.cell import Interface
from atmdepot.wire.llc import Encapsulation
from tests.circuits import MESH
from tests.network_in_memory import make_network

if TYPE_CHECKING:
    from atmdepot.config.model import Network

MUX = Encapsulation.VC_MUX


def two_links(vpi: int, *, vp: str = "") -> Network:
    """web1 on VP 1 of its link, web2 on VP `vpi` of its own."""
    text = f"""
name = "two"
[nodes.depot]
kind = "depot"
[nodes.web1]
kind = "edge"
[nodes.web2]
kind = "edge"
[links.to-web1]
ends = {{ depot = "127.0.0.1:6001", web1 = "127.0.0.1:7001" }}
[links.to-web2]
ends = {{ depot = "127.0.0.1:6002", web2 = "127.0.0.1:7002" }}
interface = "nni"
[vps.first]
ends = ["depot", "web1"]
vpi = 1
session_vcis = "64-99"
[vps.second]
ends = ["depot", "web2"]
vpi = {vpi}
default_vci = 40
management_vci = 41
shared_vcs = {{ "CBR" = 50 }}
encapsulation = "llc"
crc = "dynamips"
[servers.nginx]
node = "web1"
[servers.apache]
node = "web2"
[services.web]
vip = ["10.80.0.1"]
ports = [80]
servers = ["nginx", "apache"]
"""
    return parse(text)


def test_without_a_table_vcs_are_unnamed() -> None:
    book = VcBook()
    assert book.of("to-web1", 1, 64) == UNNAMED == VcName("", "", "", None, None)
    assert book.interface("to-web1") is None
    assert book.addresses == {}


@pytest.mark.parametrize(("link", "vpi", "vci", "name"), [
    ("to-web1", 1, 64, VcName("first", "nginx", "session", MUX, CrcMode.STRICT)),
    ("to-web1", 1, 99, VcName("first", "nginx", "session", MUX, CrcMode.STRICT)),
    ("to-web1", 1, 32, VcName("first", "nginx", "default", MUX, CrcMode.STRICT)),
    ("to-web1", 1, 33, VcName("first", "nginx", "management", MUX, CrcMode.STRICT)),
    ("to-web1", 1, 100, VcName("first", "nginx", "", MUX, CrcMode.STRICT)),
    ("to-web2", 300, 40, VcName("second", "apache", "default", Encapsulation.LLC, CrcMode.DYNAMIPS)),
    ("to-web2", 300, 41, VcName("second", "apache", "management", MUX, CrcMode.DYNAMIPS)),
    ("to-web2", 300, 50, VcName("second", "apache", "CBR", Encapsulation.LLC, CrcMode.DYNAMIPS)),
    ("to-web2", 300, 64, VcName("second", "apache", "", Encapsulation.LLC, CrcMode.DYNAMIPS)),
    ("to-web1", 300, 40, UNNAMED), ("to-web2", 1, 32, UNNAMED), ("to-web1", 2, 64, UNNAMED),
    ("", 1, 64, VcName("first", "nginx", "session", MUX, CrcMode.STRICT)),
    ("eth0 of a file", 300, 50, VcName("second", "apache", "CBR", Encapsulation.LLC, CrcMode.DYNAMIPS)),
    ("eth0 of a file", 2, 50, UNNAMED)])
def test_names(link: str, vpi: int, vci: int, name: VcName) -> None:
    """On a link of the table, its VPs; on one of which nobody told, any VP of that number."""
    book = VcBook([two_links(300)])
    assert book.of(link, vpi, vci) == name
    assert book.of(link, vpi, vci) is book.of(link, vpi, vci), "it is made once"


def test_a_vpi_on_two_links_needs_the_link_for_a_name() -> None:
    book = VcBook([two_links(1)])
    assert book.of("to-web1", 1, 64).vp == "first"
    assert book.of("to-web2", 1, 50).vp == "second"
    assert book.of("", 1, 64) == UNNAMED


def test_several_tables_and_the_same_one_twice() -> None:
    book = VcBook([two_links(300), two_links(300), make_network(servers=4)])
    assert book.of("", 300, 50).vp == "second"
    assert book.of("to-web4", 4, 64).server == "web4"
    assert book.of("to-web1", 1, 64).server == "web1", "the last one counts"
    assert book.of("", 1, 64) == UNNAMED, "the tables do not agree"


def test_interfaces_and_addresses() -> None:
    book = VcBook([two_links(300)])
    assert (book.interface("to-web1"), book.interface("to-web2"), book.interface("x")) == (
        Interface.UNI, Interface.NNI, None)
    assert book.addresses == {
        ("127.0.0.1", 6001): ("to-web1", "depot"), ("127.0.0.1", 7001): ("to-web1", "web1"),
        ("127.0.0.1", 6002): ("to-web2", "depot"), ("127.0.0.1", 7002): ("to-web2", "web2")}


@pytest.mark.parametrize("table", sorted(shipped_tables()))
def test_every_shipped_table_names_its_vcs(table: str) -> None:
    network = load(table)
    book = VcBook([network])
    for name, vp in network.vps.items():
        link = network.routes.working[name].links[0]
        default = book.of(link, vp.vpi, vp.default_vci)
        assert (default.vp, default.role, str(default.encapsulation)) == (name, "default", vp.encapsulation)
        statistics = "management" if network.ends_at_depot(vp) else ""
        assert book.of(link, vp.vpi, vp.statistics_vci).role == statistics


@given(st.lists(st.tuples(st.sampled_from(["", "to-web1", "x"]), st.integers(0, 4095), st.integers(0, 65535))))
def test_any_vc_may_be_asked_for(asked: list[tuple[str, int, int]]) -> None:
    book = VcBook([two_links(300)])
    for link, vpi, vci in asked:
        assert book.of(link, vpi, vci).vp in ("", "first", "second")


def test_circuits_have_names_too() -> None:
    book = VcBook([parse(MESH)])
    assert book.of("between", 7, 32) == VcName("web1-web2", "", "default", MUX, CrcMode.STRICT)
    assert book.of("between", 7, 101).role == "CBR"
    assert book.of("between", 7, 33).role == "", "edge nodes send each other no statistics"
    assert book.of("to-web1", 9, 100) == VcName("news", "", "permanent", MUX, CrcMode.STRICT)
    assert book.of("to-web2", 9, 101).vp == book.of("", 9, 101).vp == "console"
    assert book.of("between", 9, 100) is UNNAMED
    assert {"web1-web2", "console", "news"} <= book.vps
