"""ILMI on VC 0/16: what a far end asks, with the library's own encoder as that far end; hostile octets are counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import Reassembler, segment
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.drops import DropReason
from atmdepot.net.kinds import make_node
from tests.effort import examples
from tests.network_in_memory import SECOND, make_network

pytest.importorskip("pyasn1_modules", reason="the extra ilmi is not installed")
from pyasn1.codec.ber import decoder, encoder
from pyasn1_modules import rfc1157

UNI = (1, 3, 6, 1, 4, 1, 353, 2)
UPTIME = (1, 3, 6, 1, 2, 1, 1, 3, 0)
NO_SUCH_NAME, TOO_BIG = 2, 1


class FarEnd:
    """The far end of an edge node's link."""

    def __init__(self, node: str = "web1") -> None:
        network = make_network(servers=1)
        network.links["to-web1"].ilmi = True
        self.node = make_node(network, node, SECOND)
        self.link: Any = self.node.links["to-web1"]
        self.vc, self.now = Vc(0, 16), SECOND

    def send(self, octets: bytes) -> list[bytes]:
        self.node.octets_from_port("to-web1", segment(octets, self.vc), self.now)
        cells = self.link.transmit(self.now)
        return [sdu.octets for sdu in Reassembler(VcTable(self.vc)).receive(cells, self.now)]

    def ask(self, kind: str, *names: tuple[int, ...]) -> Any:
        """The PDU of the answer to a request."""
        (answer,) = self.send(request(kind, *names))
        message, rest = decoder.decode(answer, asn1Spec=rfc1157.Message())
        assert (rest, int(message["version"]), bytes(message["community"])) == (b"", 0, b"ILMI")
        return message["data"]["get-response"]


def request(kind: str, *names: tuple[int, ...], community: bytes = b"ILMI", number: int = 7) -> bytes:
    message = rfc1157.Message()
    message["version"], message["community"] = 0, community
    pdu = message["data"][kind]
    pdu["request-id"], pdu["error-status"], pdu["error-index"] = number, 0, 0
    binds = pdu["variable-bindings"]
    binds.clear()
    for at, name in enumerate(names):
        binds[at]["name"] = name
        binds[at]["value"]["simple"]["empty"] = b""
    made: bytes = encoder.encode(message)
    return made


def values(pdu: Any) -> dict[tuple[int, ...], Any]:
    return {tuple(bind["name"]): bind["value"].getComponent().getComponent() for bind in pdu["variable-bindings"]}


@pytest.mark.parametrize("node", ["web1", "depot"])
def test_a_walk_meets_the_whole_mib_in_order(node: str) -> None:
    far, name, met = FarEnd(node), (1, 3), {}
    while True:
        pdu = far.ask("get-next-request", name)
        if int(pdu["error-status"]) == NO_SUCH_NAME:
            break
        ((name, value),) = values(pdu).items()
        met[name] = value
    assert list(met) == sorted(met)
    layer = {name[-2]: int(value) for name, value in met.items() if name[:-2] == (*UNI, 2, 1, 1)}
    assert layer == {1: 0, 2: 256, 3: 65536, 4: 1, 5: len(far.link.table), 6: 8, 7: 16, 8: 2, 9: 5, 10: 1, 11: 2}
    assert bytes(met[(*UNI, 1, 1, 1, 7, 0)]) == b"to-web1"
    assert bytes(met[(*UNI, 1, 2, 0)].getComponent()) == bytes((10, 255, 0, 1 if node == "depot" else 2))


def test_a_get_of_several_and_the_uptime() -> None:
    far = FarEnd()
    assert [int(value) for value in values(far.ask("get-request", UPTIME, (*UNI, 2, 1, 1, 6, 0))).values()] == [0, 8]
    far.now += 3 * SECOND
    pdu = far.ask("get-request", UPTIME)
    assert (int(pdu["request-id"]), int(values(pdu)[UPTIME])) == (7, 300)


def test_what_cannot_be_answered_is_told() -> None:
    far = FarEnd()
    pdu = far.ask("get-request", UPTIME, (*UNI, 9))
    assert (int(pdu["error-status"]), int(pdu["error-index"])) == (NO_SUCH_NAME, 2)
    assert int(far.ask("set-request", UPTIME)["error-status"]) == NO_SUCH_NAME
    pdu = far.ask("get-request", *[(*UNI, 2, 1, 1, 3, 0)] * 21)
    assert int(pdu["error-status"]) == TOO_BIG
    assert far.link.drops == {}


def test_other_octets_and_floods_are_counted() -> None:
    far = FarEnd()
    assert far.send(b"no SNMP") == []
    assert far.send(request("get-request", UPTIME, community=b"public")) == []
    assert far.send(request("get-response", UPTIME)) == []
    assert far.link.drops == {DropReason.BAD_ILMI: 2}
    for _ in range(60):
        far.send(request("get-request", UPTIME))
    assert far.link.drops == {DropReason.BAD_ILMI: 15}
    far.now += SECOND
    assert len(far.send(request("get-request", UPTIME))) == 1


@examples(150)
@given(st.one_of(st.binary(min_size=1, max_size=480), st.builds(
    lambda cut, at, octet: (cut[:at % len(cut)] + bytes((octet,)) + cut[at % len(cut) + 1:]),
    st.just(request("get-next-request", UNI, UPTIME)), st.integers(0, 200), st.integers(0, 255)),
    st.integers(1, 240).map(lambda depth: b"\x30\x80" * depth)))
def test_any_octets_are_answered_or_counted(octets: bytes) -> None:
    far = FarEnd()
    answers = far.send(octets)
    assert len(answers) + sum(far.link.drops.values()) <= 1


def test_it_is_off_by_default() -> None:
    node = make_node(make_network(servers=1), "web1", SECOND)
    assert node.links["to-web1"].table.find(0, 16) is None  # type: ignore[attr-defined]
