"""A port of Frame Relay: frames by the octet, counts by flag, drops by reason, CIR, and hostile frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bearer.lmi import LmiTimers, UserSide
from atmdepot.bearer.relay_port import MOST_HELD, MOST_WAITING, RelayPath, RelayPort
from atmdepot.config.relay import Dlcis
from atmdepot.config.units import BitRate, Dlci
from atmdepot.drops import DropReason
from atmdepot.wire.frame_relay import Address, frames_of, header_of, train_of
from atmdepot.wire.lmi import FULL, STATUS, Message
from tests.ip_packets import SYN, tcp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6

if TYPE_CHECKING:
    from typing import Any

V4, V6 = tcp(CLIENT4, 4000, VIP4, 80, SYN), tcp(CLIENT6, 4000, VIP6, 80, SYN)


def settings(**values: Any) -> Dlcis:
    return Dlcis(ends=["depot", "web1"], dlci=Dlci(100), **values)


def make_port(**values: Any) -> tuple[RelayPort, RelayPath]:
    port = RelayPort("to-web1", UserSide(LmiTimers(), 0))
    return port, port.add(RelayPath(port, 100, "web1", settings(**values)))


def sent(port: RelayPort, now: int = 0) -> list[bytes]:
    """The frames that leave now, the LMI's not among them."""
    frames = []
    while octets := port.transmit(now):
        frames += frames_of(octets)
    return [frame for frame in frames if frame[:2] != b"\0\1"]


def test_packets_leave_in_frames_by_the_octet() -> None:
    port, path = make_port()
    path.send(V4, 0)
    path.send(V6, 1)
    assert sent(port) == [bytes.fromhex("1841 03cc") + V4, bytes.fromhex("1843 038e") + V6]
    assert (path.tx_frames, path.tx_de, port.counts().tx_pdus) == (2, 1, 2)


def test_the_port_is_ready_while_frames_wait() -> None:
    port, path = make_port()
    path.send(V4, 0)
    path.send(V4, 0)
    path.send(V6, 0)  # which is longer, so it leaves by itself
    assert port.ready == [0]
    assert len(frames_of(port.transmit(0))) == 2
    assert port.ready == [0, 0]
    port.transmit(0)
    assert port.ready == [0, 0]


def test_what_the_flags_say_is_counted() -> None:
    port, path = make_port()
    for address in (Address(100), Address(100, fecn=True), Address(100, becn=True, de=True)):
        [arrival] = port.receive(header_of(address, 4) + V4, 0)
        assert (arrival.octets, arrival.path) == (V4, path)
    assert (path.rx_frames, path.rx_fecn, path.rx_becn, path.rx_de) == (3, 1, 1, 1)
    assert port.condition()[:3] == (3, 0, 1)


def test_a_report_is_no_packet() -> None:
    port, _ = make_port()
    management = port.add(RelayPath(port, 16, "web1", settings(), "management"))
    management.send(b"ADST and so on", 0)
    [frame] = sent(port)
    assert frame == bytes.fromhex("0401 03") + b"ADST and so on"
    [arrival] = port.receive(frame, 0)
    assert (arrival.octets, arrival.path) == (b"ADST and so on", management)


FRAME = header_of(Address(100), 4) + V4
BAD: dict[str, tuple[bytes, DropReason, tuple[int, ...] | None]] = {
    "empty": (b"", DropReason.BAD_ADDRESS, None),
    "of one octet": (b"\x18", DropReason.BAD_ADDRESS, None),
    "of an address of one octet": (b"\x19\x41" + FRAME[2:], DropReason.BAD_ADDRESS, None),
    "of an address of three octets": (b"\x18\x40" + FRAME[2:], DropReason.BAD_ADDRESS, None),
    "of another DLCI": (header_of(Address(101), 4) + V4, DropReason.UNKNOWN_DLCI, (101,)),
    "of an address alone": (FRAME[:2], DropReason.UNKNOWN_ENCAPSULATION, (100,)),
    "of another NLPID": (FRAME[:3] + b"\xb1" + V4, DropReason.UNKNOWN_ENCAPSULATION, (100,)),
    "of another version": (FRAME[:3] + b"\x8e" + V4, DropReason.UNKNOWN_ENCAPSULATION, (100,)),
    "of Inverse ARP": (FRAME[:3] + bytes.fromhex("00800000000806") + bytes(28),
                       DropReason.UNKNOWN_ENCAPSULATION, (100,)),
    "too long": (FRAME + bytes(1500), DropReason.OVERSIZE, (100,)),
    "no LMI": (b"\0\1\3\xcc" + V4, DropReason.BAD_LMI, None),
    "of an answer to nothing": (Message(STATUS, FULL, 1, 9).pack(), DropReason.BAD_LMI, None)}


@pytest.mark.parametrize("kind", BAD)
def test_a_frame_that_is_none_of_ours_is_counted_by_its_reason(kind: str) -> None:
    frame, reason, channel = BAD[kind]
    port, _ = make_port()
    heard: list[Any] = []
    port.drops.subscribe(lambda *drop: heard.append(drop))
    assert port.receive(frame, 0) == []
    [(told, count, octets, where)] = heard
    assert (told, count, octets) == (reason, 1, frame)
    assert (None if where is None else where.channel) == channel


def test_dlci_0_of_a_link_without_lmi_is_unknown() -> None:
    port = RelayPort("to-web1", None)
    port.receive(Message(STATUS, FULL, 1, 9).pack(), 0)
    assert port.drops == {DropReason.UNKNOWN_DLCI: 1}
    assert port.next_timer() is None


@pytest.mark.parametrize(("frame", "hint"), [
    ("fcf1 0309 007d 0101 00", "Cisco's LMI"), ("0001 0308 0075 51 0100 5302 0100", r"Q\.933 annex A"),
    ("0001 0308 0075 95 010100 03020100", "both ends are the same side")])
def test_the_trouble_of_an_lmi_that_is_not_understood_says_why(frame: str, hint: str) -> None:
    port, _ = make_port()
    for second in range(0, 50, 10):
        port.handle_timer(second * SECOND)
        port.receive(bytes.fromhex(frame), second * SECOND)
    assert hint.replace("\\", "") in port.trouble_of(100)
    assert port.trouble_of(100).startswith("LMI: 3 of the last 4 enquiries have no right answer; ")


# CIR.


def make_shaped(**values: Any) -> tuple[RelayPort, RelayPath]:
    return make_port(cir=BitRate(80_000), **({"own_bc": 16_000} | values))


def test_frames_wait_for_their_cir_and_keep_their_order() -> None:
    """80 kbit/s and Bc 16,000 bits: two frames of 1,000 octets at once, then one each 0.1 s."""
    port, path = make_shaped()
    packets = [V4[:-1] + bytes([n]) + bytes(1000 - 4 - len(V4)) for n in range(5)]
    for packet in packets:
        path.send(packet, 0)
    out, now = [], 0
    while path.waiting or port.frames_out:
        out += [(now, frame[4:]) for frame in sent(port, now)]
        if path.waiting:
            assert port.due > now
            now = port.due
    assert out == list(zip((0, 0, *(n * SECOND // 10 for n in (1, 2, 3))), packets, strict=True))
    assert port.is_timed


def test_a_full_queue_in_front_of_a_cir_drops_and_counts() -> None:
    port, path = make_shaped()
    for _ in range(MOST_WAITING + 3):
        path.send(V4, 0)
    assert port.drops == {DropReason.CIR_QUEUE_FULL: 3}
    [queue] = port.queues()
    assert (queue.name, queue.shaped) == ("DLCI 100", MOST_WAITING)


def test_frames_of_a_closed_pvc_leave_though_its_dlci_is_opened_again() -> None:
    """The next session on a DLCI is behind what waits there: nothing is lost, and the CIR is kept by both together."""
    port, path = make_shaped()
    packets = [V4[:-1] + bytes([n]) + bytes(1000 - 4 - len(V4)) for n in range(7)]
    for packet in packets[:4]:
        path.send(packet, 0)
    assert [frame[4:] for frame in sent(port)] == packets[:2]
    port.close(path)
    after = port.add(RelayPath(port, 100, "web1", settings(cir=BitRate(80_000), own_bc=16_000)))
    for packet in packets[4:]:
        after.send(packet, 0)
    [queue] = port.queues()
    assert (queue.shaped, queue.left) == (5, 0)
    out = []
    while after.waiting:
        out += [(port.due, frame[4:]) for frame in sent(port, port.due)]
        assert port.due > 0
    assert [packet for _, packet in out] == packets[2:]
    assert port.drops == {}


def test_what_waits_at_a_port_is_bounded_over_all_its_pvcs() -> None:
    """A flood over hundreds of sessions' PVCs, each with a queue of its own."""
    port, _ = make_shaped()
    paths = [port.add(RelayPath(port, 101 + n, "web1", settings(cir=BitRate(80_000), own_bc=16_000)))
             for n in range(100)]
    packet = V4 + bytes(1400)
    for path in paths:
        for _ in range(MOST_WAITING):
            path.send(packet, 0)
    held = sum(len(path.waiting) for path in paths)
    assert min(len(path.waiting) for path in paths) == 1, "a PVC on which nothing waits has a place for one"
    assert MOST_HELD <= held * (4 + len(packet)) < MOST_HELD + 100 * 2000
    assert port.drops == {DropReason.CIR_QUEUE_FULL: 100 * MOST_WAITING - held}
    paths[0].send(packet, 0)
    assert port.drops[DropReason.CIR_QUEUE_FULL] == 100 * MOST_WAITING - held + 1
    sent(port)
    paths[0].send(packet, 0)
    assert sum(len(path.waiting) for path in paths) < held
    assert port.drops[DropReason.CIR_QUEUE_FULL] == 100 * MOST_WAITING - held + 1


def test_frames_for_a_pvc_that_was_closed_wait_among_those_of_its_dlci() -> None:
    """As a later fragment whose first went on the session before."""
    port, path = make_shaped()
    port.close(path)
    after = port.add(RelayPath(port, 100, "web1", settings(cir=BitRate(80_000), own_bc=16_000)))
    packets = [V4[:-1] + bytes([n]) + bytes(1000 - 4 - len(V4)) for n in range(7)]
    for number, packet in enumerate(packets):
        (path if number % 2 == 0 else after).send(packet, 0)
    out = [frame[4:] for frame in sent(port)]
    while port.queues():
        out += [frame[4:] for frame in sent(port, port.due)]
    assert out == packets
    assert port.drops == {}


def test_a_policed_pvc_marks_within_be_and_drops_beyond() -> None:
    port, path = make_shaped(be=8000, police=True)
    frame = FRAME + bytes(1000 - len(FRAME))
    assert [len(port.receive(frame, 0)) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert path.tagged == 1
    assert port.drops == {DropReason.ABOVE_BE: 2}
    assert len(port.receive(frame, SECOND // 10)) == 1


def test_another_pvc_is_not_held_by_one_that_waits() -> None:
    port, path = make_shaped()
    free = port.add(RelayPath(port, 101, "web1", settings()))
    for _ in range(60):
        path.send(V4 + bytes(1000), 0)
    free.send(V6, 0)
    assert V6 in [frame[4:] for frame in sent(port)]


# Whatever comes.

_address = st.builds(Address, st.sampled_from([0, 16, 100, 101, 200, 1023]), *[st.booleans()] * 4).map(Address.pack)
_frames = st.one_of(
    st.binary(max_size=40), st.tuples(_address, st.binary(max_size=30)).map(b"".join),
    st.tuples(_address, st.sampled_from([b"\3\xcc", b"\3\x8e", b"\3\0\x80\0\0\0\x08\0", b"\3\0\xcc", b"\3"]),
              st.sampled_from([V4, V6, V4[:9], b"", b"ADST"])).map(b"".join))


@given(st.lists(_frames, max_size=30), st.booleans())
def test_each_frame_is_a_packet_or_the_lmis_or_counted(frames: list[bytes], police: bool) -> None:
    port, path = make_port(cir=BitRate(8_000) if police else None, police=police)
    management = port.add(RelayPath(port, 16, "web1", settings(), "management"))
    taken = 0
    for frame in frames:
        before = sum(port.drops.values())
        arrivals = port.receive(train_of([frame]), 0)
        dropped = sum(port.drops.values()) - before
        assert len(arrivals) + dropped <= 1
        taken += len(arrivals)
        for arrival in arrivals:
            assert arrival.path in (path, management)
            assert arrival.path is management or frame.endswith(arrival.octets)
            assert frame[0] >> 2 << 4 | frame[1] >> 4 == arrival.path.dlci
    assert port.rx_frames == len(frames)
