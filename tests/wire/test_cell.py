"""The cell header: layout, HEC, and the mode machine of a receiver."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atmdepot.wire.cell import CellHeader, HecMode, HecReceiver, Interface, correct, hec
from tests.effort import examples
from tests.packets import cell_headers

PUBLISHED_HEC = ["0000000152", "0000000055", "0000001025", "00000050e2", "0000010040", "000002007f",
                 "00000230ef", "00a00640a4"]


def bitwise_hec(octets: bytes) -> int:
    """I.432.1 section 4.3.2 to the letter, bit by bit."""
    register = 0
    for octet in octets:
        register ^= octet
        for _ in range(8):
            register = (register << 1 ^ (0x107 if register & 0x80 else 0)) & 0x1FF
    return register ^ 0x55


def flip(header: bytes, *positions: int) -> bytes:
    """The header with these of its 40 bits inverted (0 is the first on the wire)."""
    number = int.from_bytes(header, "big")
    for position in positions:
        number ^= 1 << (39 - position)
    return number.to_bytes(5, "big")


any_header = cell_headers().map(CellHeader.pack)


@pytest.mark.parametrize("header", PUBLISHED_HEC)
def test_hec_published(header: str) -> None:
    octets = bytes.fromhex(header)
    assert hec(octets[:4]) == octets[4]


@given(st.binary(min_size=4, max_size=4))
def test_hec_is_the_crc_of_the_standard(octets: bytes) -> None:
    assert hec(octets) == bitwise_hec(octets)


@pytest.mark.parametrize(("interface", "header", "fields"), [
    (Interface.UNI, "0000000152", CellHeader(0, 0, clp=1)),
    (Interface.UNI, "00000230ef", CellHeader(0, 35)),
    (Interface.UNI, "00a00640a4", CellHeader(10, 100)),
    (Interface.UNI, "f0a00643ae", CellHeader(10, 100, pti=1, clp=1, gfc=15)),
    (Interface.NNI, "f0a00643ae", CellHeader(0xF0A, 100, pti=1, clp=1)),
])
def test_fields_in_their_places(interface: Interface, header: str, fields: CellHeader) -> None:
    assert CellHeader.unpack(bytes.fromhex(header), interface) == fields
    assert fields.pack(interface).hex() == header


@pytest.mark.parametrize("interface", Interface)
@given(data=st.data())
def test_round_trip(interface: Interface, data: st.DataObject) -> None:
    header = data.draw(cell_headers(interface))
    octets = header.pack(interface)
    assert len(octets) == 5
    assert octets[4] == bitwise_hec(octets[:4])
    assert CellHeader.unpack(octets, interface) == header


@given(st.binary(min_size=4, max_size=53), st.sampled_from(Interface))
def test_any_four_octets_are_a_header(octets: bytes, interface: Interface) -> None:
    assert CellHeader.unpack(octets, interface).pack(interface)[:4] == octets[:4]


@given(st.binary(max_size=3))
def test_fewer_octets_are_none(octets: bytes) -> None:
    with pytest.raises(ValueError, match=f"has 5 octets, here are {len(octets)}"):
        CellHeader.unpack(octets)


@given(st.binary(max_size=60))
def test_the_hec_is_that_of_the_first_four_octets(octets: bytes) -> None:
    if len(octets) < 4:
        with pytest.raises(ValueError, match=f"4 octets, here are {len(octets)}"):
            hec(octets)
    else:
        assert hec(octets) == bitwise_hec(octets[:4])


@given(st.binary(max_size=60).filter(lambda octets: len(octets) != 5))
def test_a_receiver_takes_headers_of_five_octets(octets: bytes) -> None:
    receiver = HecReceiver()
    with pytest.raises(ValueError, match=f"has 5 octets, here are {len(octets)}"):
        receiver.receive(octets)
    assert (receiver.mode, receiver.corrected, receiver.discarded) == (HecMode.CORRECTION, 0, 0)


@pytest.mark.parametrize("interface", Interface)
def test_an_interface_may_be_given_by_its_value(interface: Interface) -> None:
    octets = CellHeader(7, 100).pack(interface.value)
    assert octets == CellHeader(7, 100).pack(interface)
    assert CellHeader.unpack(b"\xf0" + octets[1:], str(interface)) == CellHeader.unpack(b"\xf0" + octets[1:], interface)


@pytest.mark.parametrize("wrong", ["foo", "UNI", "", None, 1])
def test_another_interface_is_refused_with_those_there_are(wrong: str) -> None:
    for call in (CellHeader(1, 64).pack, lambda interface: CellHeader.unpack(bytes(5), interface)):
        with pytest.raises(ValueError, match=r"^interface .*: write one of uni, nni$"):
            call(wrong)


def test_fields_of_another_type_are_refused_by_name() -> None:
    for fields in ({"vpi": "1"}, {"vci": 1.5}, {"clp": None}):
        [(name, value)] = fields.items()
        with pytest.raises(TypeError, match=f"^{name} .*: write 0 to "):
            CellHeader(**{"vpi": 1, "vci": 64, name: value}).pack()  # type: ignore[arg-type]


@pytest.mark.parametrize(("header", "interface", "message"), [
    (CellHeader(256, 32), Interface.UNI, "vpi 256 does not fit the 8 bits it has at UNI: write 0 to 255$"),
    (CellHeader(4096, 32), Interface.NNI, "vpi 4096 does not fit the 12 bits it has at NNI: write 0 to 4095$"),
    (CellHeader(0, 65536), Interface.UNI, "vci 65536 does not fit the 16 bits"),
    (CellHeader(0, -1), Interface.UNI, "vci -1 does not fit"),
    (CellHeader(0, 32, pti=8), Interface.UNI, "pti 8 does not fit the 3 bits"),
    (CellHeader(0, 32, clp=2), Interface.UNI, "clp 2 does not fit the 1 bits"),
    (CellHeader(0, 32, gfc=16), Interface.UNI, "gfc 16 does not fit the 4 bits"),
    (CellHeader(0, 32, gfc=1), Interface.NNI, "gfc 1 does not fit the 0 bits it has at NNI: write 0$"),
])
def test_fields_that_do_not_fit(header: CellHeader, interface: Interface, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        header.pack(interface)


@pytest.mark.parametrize(("pti", "user", "last", "congested"), [
    (0b000, True, False, False), (0b001, True, True, False), (0b010, True, False, True),
    (0b011, True, True, True), (0b100, False, False, False), (0b101, False, False, False),
    (0b110, False, False, False), (0b111, False, False, False)])
def test_fields_of_the_pti(pti: int, user: bool, last: bool, congested: bool) -> None:
    header = CellHeader(1, 32, pti)
    assert (header.is_user_data, header.is_last, header.congested) == (user, last, congested)


@pytest.mark.parametrize(("vpi", "vci", "user", "idle"), [
    (0, 0, False, True), (1, 0, False, False), (0, 1, False, False), (1, 5, False, False),
    (1, 31, False, False), (0, 32, True, False), (0, 65535, True, False)])
def test_user_vcs_start_at_32(vpi: int, vci: int, user: bool, idle: bool) -> None:
    assert (CellHeader(vpi, vci).is_user_data, CellHeader(vpi, vci).is_idle) == (user, idle)


@given(any_header)
def test_a_good_header_needs_no_correction(header: bytes) -> None:
    assert correct(header) == header


@given(any_header)
@examples(30)
def test_every_single_bit_error_is_corrected_in_correction_mode(header: bytes) -> None:
    for position in range(40):
        receiver = HecReceiver()
        assert receiver.receive(flip(header, position)) == header
        assert (receiver.mode, receiver.corrected, receiver.discarded) == (HecMode.DETECTION, 1, 0)


@given(any_header)
@examples(30)
def test_every_single_bit_error_is_discarded_in_detection_mode(header: bytes) -> None:
    receiver = HecReceiver()
    receiver.receive(flip(header, 0))
    for position in range(40):
        assert receiver.receive(flip(header, position)) is None
    assert (receiver.mode, receiver.corrected, receiver.discarded) == (HecMode.DETECTION, 1, 40)


@given(any_header)
@examples(5)
def test_no_two_bit_error_is_taken_for_a_single_one(header: bytes) -> None:
    """The generator is x + 1 times a primitive one of degree 7: any two good headers differ in 4 bits."""
    for pair in combinations(range(40), 2):
        damaged = flip(header, *pair)
        assert correct(damaged) is None
        receiver = HecReceiver()
        assert receiver.receive(damaged) is None
        assert receiver.mode is HecMode.DETECTION


@given(any_header, st.sets(st.integers(0, 39), min_size=3, max_size=3))
def test_three_wrong_bits_never_pass_detection_mode(header: bytes, positions: set[int]) -> None:
    """In correction mode they may be taken for one: the header comes out wrong; detection mode follows."""
    damaged = flip(header, *positions)
    receiver = HecReceiver()
    assert receiver.receive(damaged) != header
    assert receiver.mode is HecMode.DETECTION
    assert receiver.receive(damaged) is None


class ModeMachine(RuleBasedStateMachine):
    """`HecReceiver` against I.432.1 figure 3, whose decoder tries each of the 40 bits in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.receiver = HecReceiver()
        self.correcting = True
        self.corrected = self.discarded = 0

    @rule(header=any_header)
    def good(self, header: bytes) -> None:
        self.pass_through(header)

    @rule(header=any_header, positions=st.lists(st.integers(0, 39), min_size=1, max_size=5, unique=True))
    def wrong(self, header: bytes, positions: list[int]) -> None:
        damaged = flip(header, *positions)
        if bitwise_hec(damaged[:4]) == damaged[4]:  # four bits or more may make another good header
            self.pass_through(damaged)
            return
        near = [one for one in (flip(damaged, n) for n in range(40)) if bitwise_hec(one[:4]) == one[4]]
        expected = near[0] if self.correcting and near else None
        assert len(near) <= 1
        assert self.receiver.receive(damaged) == expected
        self.corrected += expected is not None
        self.discarded += expected is None
        self.correcting = False

    def pass_through(self, header: bytes) -> None:
        assert self.receiver.receive(header) == header
        self.correcting = True

    @invariant()
    def agrees(self) -> None:
        assert self.receiver.mode is (HecMode.CORRECTION if self.correcting else HecMode.DETECTION)
        assert (self.receiver.corrected, self.receiver.discarded) == (self.corrected, self.discarded)


TestModeMachine = ModeMachine.TestCase
TestModeMachine.settings = examples(50, stateful_step_count=20)
