"""The kernel is the judge: what we cut is what it cuts, and what we merge comes out of it as it went in."""

from __future__ import annotations

import json
import subprocess
import sys
from random import Random
from struct import unpack_from
from typing import TYPE_CHECKING, NamedTuple

import pytest

from atmdepot.wire.offload import GSO_ECN, NEEDS_CSUM, VirtioNetHeader, coalesce, cut, cut_plainly
from tests.end_to_end.kernel_offload import DESTINATION, DESTINATION6, OCTETS, SOURCE, SOURCE6
from tests.ip_packets import ACK, CWR, ECE, FIN, PSH, checksum, packed, udp
from tests.wire.frames import TIMESTAMPS, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.namespaces

HELPER = [sys.executable, "-m", "tests.end_to_end.own_namespace", sys.executable, "-m",
          "tests.end_to_end.kernel_offload"]
FOUR = Stream(size=1400, source=packed(SOURCE), destination=packed(DESTINATION))
SIX = Stream(size=1400, source=packed(SOURCE6), destination=packed(DESTINATION6))
NO_OFFLOAD = bytes(10)


class Kernel:
    """A kernel that segments."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout

    def cut(self, frame: bytes) -> list[bytes] | None:
        """The packets that a frame makes; None when the kernel does not take it."""
        self._stdin.write(f"{frame.hex()}\n")
        self._stdin.flush()
        answer = json.loads(self._stdout.readline())
        return None if answer is None else [bytes.fromhex(packet) for packet in answer]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with subprocess.Popen([*HELPER, "cut"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Kernel(process)
        process.communicate(timeout=20)


def forwarded(packet: bytes) -> bytes:
    """A packet as a router sends it on: its TTL is one less."""
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes((packet[7] - 1,)) + packet[8:]
    length = (packet[0] & 15) * 4
    head = packet[:8] + bytes((packet[8] - 1, packet[9], 0, 0)) + packet[12:length]
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + packet[length:]


def assert_cut_alike(kernel: Kernel, frame: bytes) -> None:
    made = [forwarded(packet) for packet in cut(frame)]
    assert made == kernel.cut(frame)
    assert made == [forwarded(packet) for packet in cut_plainly(frame)]


# ── frames made here ──

def streams() -> Iterator[Stream]:
    """One of everything, then some of anything."""
    for stream in (FOUR, SIX):
        yield stream
        yield stream._replace(last_flags=PSH)
        yield stream._replace(last_flags=FIN | PSH, flags=ACK | ECE)
        yield stream._replace(flags=ACK | CWR, last_flags=PSH)
        yield stream._replace(tcp_options=b"")
        yield stream._replace(tcp_options=TIMESTAMPS + bytes((1, 1, 5, 18)) + bytes(16))
        yield stream._replace(data=bytes(60_000), sequence=0xFFFFF000)
        yield stream._replace(data=bytes(100), size=8)
        yield stream._replace(data=bytes(2 * 1400))
        yield stream._replace(data=b"\xFF" * 4096, size=1024, traffic_class=0xBA, ttl=2)
    yield FOUR._replace(fragment=0, identification=0)
    yield FOUR._replace(ip_options=bytes((1, 1, 1, 0)))
    yield SIX._replace(extensions=(60, bytes((6, 0, 1, 4)) + bytes(4)))
    yield SIX._replace(extensions=(0, bytes((60, 0, 1, 4)) + bytes(4) + bytes((6, 1, 1, 12)) + bytes(12)))
    draw = Random(5)
    for _ in range(60):
        size = draw.randint(8, 1400)
        yield draw.choice((FOUR, SIX))._replace(
            data=draw.randbytes(draw.randint(size + 1, min(60_000, 60 * size))), size=size,
            sequence=draw.getrandbits(32), acknowledgment=draw.getrandbits(32), identification=draw.getrandbits(16),
            flags=draw.choice([ACK, ACK | ECE, ACK | CWR]), last_flags=draw.choice([0, PSH, FIN, FIN | PSH]),
            window=draw.getrandbits(16), traffic_class=draw.choice([0, 2, 0xB8]), ttl=draw.randint(2, 255),
            fragment=draw.choice([0, 0x4000]), flow_label=draw.getrandbits(20),
            tcp_options=draw.choice([b"", TIMESTAMPS, bytes((1,)) * 4]))


def test_the_kernel_cuts_frames_into_the_same_packets(kernel: Kernel) -> None:
    for stream in streams():
        header = stream.header
        if stream.flags & CWR:
            header = header._replace(gso_type=header.gso_type | GSO_ECN)
        assert_cut_alike(kernel, header.pack() + stream.whole)
        assert cut(stream.frame) == stream.packets


@pytest.mark.parametrize("stream", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_the_kernel_writes_checksums_of_zero_the_same(kernel: Kernel, stream: Stream) -> None:
    """In a segment as 0, in a packet of its own as FFFF."""
    stream = stream._replace(data=bytes(2) + bytes(range(100)) * 30, size=1000)
    at = stream.tcp_at + 16
    stream = stream._replace(data=stream.packets[0][at:at + 2] + stream.data[2:])
    assert_cut_alike(kernel, stream.frame)
    assert cut(stream.frame)[0][at:at + 2] == b"\0\0"
    alone = stream._replace(data=stream.data[:1000])
    frame = alone.header._replace(gso_type=0, gso_size=0).pack() + alone.whole
    assert_cut_alike(kernel, frame)
    assert cut(frame)[0][at:at + 2] == b"\xFF\xFF"


@pytest.mark.parametrize("ends", [(SOURCE, DESTINATION), (SOURCE6, DESTINATION6)], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("size", [0, 1, 2, 999, 1400])
def test_the_kernel_completes_checksums_the_same(kernel: Kernel, ends: tuple[str, str], size: int) -> None:
    whole = udp(ends[0], 1, ends[1], 2, Random(size).randbytes(size))
    at = 20 if len(packed(ends[0])) == 4 else 40
    header = VirtioNetHeader(NEEDS_CSUM, csum_start=at, csum_offset=6)
    addresses = packed(ends[0]) + packed(ends[1])
    begun = checksum(addresses + (len(whole) - at).to_bytes(4, "big") + bytes((0, 0, 0, 17))) ^ 0xFFFF
    frame = header.pack() + whole[:at + 6] + begun.to_bytes(2, "big") + whole[at + 8:]
    assert_cut_alike(kernel, frame)
    assert cut(frame) == [whole]


def test_merged_packets_come_out_of_the_kernel_as_they_went_in(kernel: Kernel) -> None:
    merged = 0
    for stream in streams():
        packets = stream.packets
        out: list[bytes] = []
        for frame, count in coalesce(packets):
            merged += count > 1
            out += kernel.cut(frame) or []
        assert out == [forwarded(packet) for packet in packets]
    assert merged > 50


# ── frames of the kernel's own TCP ──

class Sent(NamedTuple):
    """A sender's output: frames as they were handed over, and their packets."""

    frames: list[bytes]
    packets: list[bytes]


def send(*words: str) -> Sent:
    """A connection in which all arrived, and no checksum was found wrong."""
    done = subprocess.run([*HELPER, "stream", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          timeout=60, check=True)
    told = json.loads(done.stdout)
    assert (told["whole"], told["errors"]) == (True, 0)
    sent = Sent(*([bytes.fromhex(octets) for octets in told[name]] for name in ("frames", "packets")))
    return Sent([frame for frame in sent.frames if is_tcp(frame[10:])], list(filter(is_tcp, sent.packets)))


def is_tcp(packet: bytes) -> bool:
    return packet[9 if packet[0] >> 4 == 4 else 6] == 6


def super_frames(sent: Sent) -> list[bytes]:
    return [frame for frame in sent.frames if frame[1]]


@pytest.mark.parametrize("words", [("offload",), ("offload", "6"), ("offload", "ecn")], ids="-".join)
def test_the_kernels_own_frames_are_cut_as_it_cuts_them(kernel: Kernel, words: tuple[str, ...]) -> None:
    sent = send(*words)
    for frame in sent.frames:
        assert_cut_alike(kernel, frame)
    assert len(super_frames(sent)) >= 4
    assert sum(map(len, super_frames(sent))) > 0.8 * OCTETS
    ends = FIN | PSH
    for frame in super_frames(sent):
        *others, last = (packet_flags(packet) & ends for packet in cut(frame))
        assert (last, set(others)) == (packet_flags(frame[10:]) & ends, {0})
    assert any(packet_flags(packet) & FIN for packet in sent.packets)
    if "ecn" in words:
        with_cwr = [frame for frame in super_frames(sent) if frame[1] & GSO_ECN]
        assert with_cwr
        assert [packet_flags(packet) & CWR for packet in cut(with_cwr[0])][:2] == [CWR, 0]


def packet_flags(packet: bytes) -> int:
    return packet[33 if packet[0] >> 4 == 4 else 53]


class Fields(NamedTuple):
    """A segment's fields, without those that are drawn at random for each connection."""

    traffic_class: int
    length: int
    identification: int
    fragment: int
    ttl: int
    sequence: int
    offset_and_flags: int
    window: int
    urgent: int
    options: bytes


def fields(packet: bytes, syn: bytes) -> Fields:
    v4 = packet[0] >> 4 == 4
    at = 20 if v4 else 40
    sequence, offset_and_flags, window, urgent = unpack_from(">I4xHH2xH", packet, at + 4)
    identification, fragment = unpack_from(">HH", packet, 4) if v4 else (0, 0)
    [first_identification] = unpack_from(">H", syn, 4) if v4 else (0,)
    [first_sequence] = unpack_from(">I", syn, at + 4)
    return Fields(packet[1] if v4 else packet[0], len(packet) - at - (offset_and_flags >> 12) * 4,
                  (identification - first_identification) & 0xFFFF, fragment, packet[8 if v4 else 7],
                  (sequence - first_sequence) & 0xFFFFFFFF, offset_and_flags, window, urgent, packet[at + 20:at + 24])


@pytest.mark.parametrize("words", [(), ("6",)], ids=["IPv4", "IPv6"])
def test_a_sender_without_offload_sends_the_like(words: tuple[str, ...]) -> None:
    """The first flight of ten segments, before the wire's own time can make a difference."""
    with_offload, without = send("offload", *words), send(*words)
    assert super_frames(with_offload)
    assert not super_frames(without)
    ours, theirs = ([fields(packet, sent.packets[0]) for packet in sent.packets[:12]]
                    for sent in (with_offload, without))
    assert ours == theirs
    assert [field.length > 1400 for field in ours] == [False] * 2 + [True] * 10
