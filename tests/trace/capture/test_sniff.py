"""Listening to interfaces: real packets in a network namespace of its own, and the filter that the kernel runs.

The scenes run in a process of their own, which leaves for new namespaces: `python -c "...; play(NAME)"`.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab import namespaces
from atmdepot.net.events import Cells, Drop, Missed
from atmdepot.trace.capture.packet_filter import INSTRUCTION_SIZE, filter_of, filter_of_nothing
from atmdepot.trace.capture.sniff import SniffSource
from atmdepot.trace.sources import Remark
from tests.checkout import ROOT
from tests.trace.captures import cells_of, ethernet, http_packet, train_of, udp_packet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.trace.sources import SourceRecord

TRAIN = train_of(http_packet(4))
FIRST, SECOND, LAST = cells_of(TRAIN)
END = train_of(b"the end")
LINK = "10.0.0.1:5501-10.0.0.2:5502"
TO_ALL = b"\xff" * 6 + bytes(6)
SCENES: dict[str, Callable[[], None]] = {}


def scene(play: Callable[[], None]) -> Callable[[], None]:
    """A test that is played in a process of its own, in new namespaces, on lo and a pair of wires: left and right."""
    SCENES[play.__name__] = play

    @pytest.mark.namespaces
    def test() -> None:
        run = f"from tests.trace.capture.test_sniff import enter, SCENES; enter(); SCENES[{play.__name__!r}]()"
        done = subprocess.run([sys.executable, "-W", "error", "-c", run], capture_output=True, text=True, check=False,
                              timeout=60, cwd=ROOT)
        assert done.returncode == 0, done.stderr

    return test


def enter() -> None:
    if os.geteuid():
        namespaces.enter_new_user_namespace()
    namespaces.unshare(namespaces.CLONE_NEWNET)
    with IPRoute() as kernel:
        kernel.link("add", ifname="left", kind="veth", peer="right")
        for name in ("lo", "left", "right"):
            kernel.link("set", index=socket.if_nametoindex(name), state="up")
    wait_for_the_wire()


def wait_for_the_wire() -> None:
    """Send until something is heard: the kernel needs a moment to notice that both ends are up."""
    with SniffSource("left", [1], idle=0.01) as source:
        for record in source:
            if record is not None:
                return
            send(framed(END, ("10.0.0.1", 1)))


def send(*frames: bytes, interface: str = "right") -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((interface, 0))
        for frame in frames:
            out.send(frame)


def framed(payload: bytes, source: tuple[str, int] = ("10.0.0.1", 5501),
           destination: tuple[str, int] = ("10.0.0.2", 5502)) -> bytes:
    return TO_ALL + ethernet(udp_packet(payload, source, destination))[12:]


def until_end(source: SniffSource) -> Iterator[SourceRecord]:
    """The items before the cells of END."""
    for record in source:
        if isinstance(record, Cells) and record.octets.endswith(END):
            return
        if record is not None:
            yield record


def same(found: object, expected: object) -> None:
    assert found == expected, f"{found!r} is not {expected!r}"


# ── what is heard ──

@scene
def test_cells_of_both_ip_versions_on_a_wire() -> None:
    with SniffSource("left", [5501]) as source:
        six = ("2001:db8::1", 5501), ("2001:db8::2", 7)
        send(framed(TRAIN), framed(TRAIN, *six), framed(TRAIN, ("10.0.0.1", 1), ("10.0.0.2", 2)), framed(b"wrong"),
             framed(END))
        four, other, wrong = until_end(source)
        assert isinstance(four, Cells)
        assert isinstance(other, Cells)
        same((four.link, four.direction, four.octets), (LINK, "in", TRAIN))
        same((other.link, other.octets), ("[2001:db8::1]:5501-[2001:db8::2]:7", TRAIN))
        assert 0 <= other.time - four.time < 10**9
        same(wrong, Drop(getattr(wrong, "time", 0), LINK, DropReason.NOT_WHOLE_CELLS, 1, b"wrong"))
        same((source.packets, source.missed, dict(source.passed_over)), (4, 0, {}))


@scene
def test_the_machines_own_datagrams_go_out() -> None:
    with SniffSource("right", [5501]) as source:
        send(framed(TRAIN), framed(END))
        [seen] = until_end(source)
        assert isinstance(seen, Cells)
        same(seen.direction, "out")


@scene
def test_without_ports_cells_have_to_be_proven() -> None:
    with SniffSource("left") as source:
        send(framed(FIRST), framed(b"no cells", ("10.0.0.3", 1)), framed(LAST), framed(END))
        same([getattr(record, "octets", None) for record in until_end(source)], [FIRST, LAST])
        same(dict(source.passed_over), {"UDP datagrams that hold no cells": 1})


@scene
def test_on_any_each_interface_is_kept_apart_and_lo_counts_once() -> None:
    with SniffSource("any", [5501]) as source:
        send(framed(TRAIN))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", 5501))
            one.sendto(TRAIN, ("127.0.0.1", 9000))
        send(framed(END))
        seen = [(record.link, record.direction) for record in until_end(source) if isinstance(record, Cells)]
        same(sorted(seen), sorted([(LINK, "out"), (LINK + "#2", "in"), ("127.0.0.1:5501-127.0.0.1:9000", "out")]))


@scene
def test_trains_that_the_kernel_would_cut_are_seen_whole() -> None:
    with SniffSource("lo", [5502], idle=5) as source, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        size = struct.pack("=H", len(TRAIN))
        one.sendmsg([TRAIN * 60], [(17, 103, size)], 0, ("127.0.0.1", 5502))
        one.sendto(END, ("127.0.0.1", 5502))
        seen = [record for record in until_end(source) if isinstance(record, Cells)]
        same(b"".join(record.octets for record in seen), TRAIN * 60)


@scene
def test_names_of_a_table() -> None:
    with SniffSource("left", [5501], names=lambda *_: ("depot", "to-web1", "out")) as source:
        send(framed(TRAIN), framed(END))
        [seen] = until_end(source)
        assert isinstance(seen, Cells)
        same((seen.node, seen.link, seen.direction), ("depot", "to-web1", "out"))


# ── the filter ──

def fragment(packet: bytes, word: bytes) -> bytes:
    return packet[:6] + word + packet[8:]


V4, V6 = udp_packet(TRAIN, ("10.0.0.1", 700)), udp_packet(TRAIN, ("::1", 700), ("::2", 5502))
TCP4, TCP6 = http_packet(4), http_packet(6)
OPTIONS = bytes((0x47,)) + V4[1:2] + struct.pack(">H", len(V4) + 8) + V4[4:20] + bytes(8) + V4[20:]
EXTENDED = V6[:4] + struct.pack(">H", len(V6) - 32) + b"\0" + V6[7:40] + b"\x11" + bytes(7) + V6[40:]
ALL = set(range(65536))
PACKETS: dict[str, tuple[bytes, set[int], bool]] = {
    "IPv4": (V4, {700, 5502}, True),
    "IPv6": (V6, {700, 5502}, True),
    "with options": (OPTIONS, {700, 5502}, True),
    "first fragment": (fragment(V4, b"\x20\0"), {700, 5502}, True),
    "later fragment": (fragment(V4, b"\0\1"), set(), False),
    "TCP": (TCP4, set(), False),
    "TCP over IPv6": (TCP6, set(), False),
    "cut after the first port": (V4[:22], {700}, True),
    "cut before the ports": (V4[:20], set(), True),
    "IPv6, cut after the first port": (V6[:42], {700}, True),
    "extension header": (EXTENDED, ALL, True),
    "two extension headers": (EXTENDED[:40] + b"\x3c" + EXTENDED[41:], ALL, True),
    "extension header, TCP": (EXTENDED[:40] + b"\6" + EXTENDED[41:], set(), False),
    "IPv6 fragment": (EXTENDED[:6] + b"\x2c" + EXTENDED[7:], ALL, True),
    "no IP": (bytes(46), set(), False),
}
"""Packets, the ports with which they pass, and whether they do where no ports are asked for."""
FILTERS = [(), (700,), (5502,), (699, 701, 5501, 5503), tuple(range(600, 800)), tuple(range(1, 1000, 2)), (65535,),
           (0,), (699, 700, 701, 9000)]


@scene
def test_the_kernels_filter_passes_the_right_packets() -> None:
    for ports in FILTERS:
        # With more ranges than a filter has room for, all ports pass.
        looks = 0 < len(ports) != 500
        for name, (packet, passes_with, without) in PACKETS.items():
            with SniffSource("left", [*ports, 6000] if ports else ()) as source:
                kind = {4: b"\x08\x00", 6: b"\x86\xdd"}.get(packet[0] >> 4, b"\x08\x06")
                send(TO_ALL + kind + packet, framed(END, ("10.9.9.9", 6000)))
                list(until_end(source))
                expected = not passes_with.isdisjoint(ports) if looks else without
                same((ports[:5], name, source.packets), (ports[:5], name, 1 + expected))


def test_the_size_of_filters() -> None:
    assert filter_of_nothing() == struct.pack("=HBBI", 6, 0, 0, 0)
    assert filter_of(()) == filter_of(range(1, 65536, 2))
    assert len(filter_of(range(1, 600, 2))) // INSTRUCTION_SIZE <= 4096
    assert filter_of([5501, 5502, 5503]) == filter_of({5503, 5502, 5501})
    assert len(filter_of(range(1, 65536))) == len(filter_of([7]))


# ── life ──

@scene
def test_stop_from_another_thread_gives_earlier_cells() -> None:
    with SniffSource("left", [5501]) as source:
        send(*[framed(TRAIN)] * 5)
        records = iter(source)
        first = next(records)
        assert isinstance(first, Cells)
        stopper = threading.Thread(target=source.stop)
        stopper.start()
        stopper.join()
        send(framed(TRAIN))
        same(len(list(records)), 4)
        same(source.summary(), ["left: 5 packets", "0 packets lost by the kernel, because this trace was too slow"])


@scene
def test_stop_from_a_signal_handler_ends_the_waiting() -> None:
    with SniffSource("left", [5501]) as source:
        signal.signal(signal.SIGALRM, lambda *_: source.stop())
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        same(list(source), [])


@scene
def test_silence_and_foreign_packets_give_none() -> None:
    with SniffSource("left", [5501], idle=0.01) as source:
        records = iter(source)
        same([next(records), next(records)], [None, None])
        send(framed(TRAIN))
        assert isinstance(next(records), Cells)
        same(next(records), None)
        send(*[framed(b"x", ("10.0.0.1", 9), ("10.0.0.2", 5501))[:30]] * 3)
        same(next(records), None)


@scene
def test_overflow_of_the_kernels_buffer_is_reported() -> None:
    with SniffSource("left", [5501], idle=0.2, buffer=4_500_000) as source:
        count = 20_000
        send(*[framed(FIRST)] * count)
        records = []
        for record in source:
            if record is None:
                break
            records.append(record)
        seen = sum(isinstance(record, Cells) for record in records)
        missed = [record.cells for record in records if isinstance(record, Missed)]
        assert seen > 4096, seen
        same((seen + sum(missed), source.missed), (count, sum(missed)))
        # It is told in time, and not only when nothing comes any more.
        assert isinstance(records[4096], Missed), records[4096]


@scene
def test_an_interface_that_goes_down_may_come_back_and_one_that_is_gone_ends_it() -> None:
    with SniffSource("left", [5501]) as source, IPRoute() as kernel:
        index = socket.if_nametoindex("left")
        kernel.link("set", index=index, state="down")
        kernel.link("set", index=index, state="up")
        wait_for_the_wire()
        send(framed(TRAIN), framed(END))
        down, cells = until_end(source)
        assert isinstance(cells, Cells)
        same(down, Remark("left: times that the interface went down"))
        kernel.link("del", index=index)
        *_, gone = source
        same(gone, Remark("left: the interface is gone"))


# ── refused ──

@pytest.mark.namespaces
def test_an_unknown_interface_is_refused() -> None:
    with pytest.raises(AtmdepotError, match=r"there is no interface none: there are .*lo.*, and any for all"):
        SniffSource("none")


def test_without_the_right_to() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from tests.trace.capture.test_sniff import without_rights; without_rights()"],
        capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert told.stdout.startswith("listening to any takes the right CAP_NET_RAW: "), told.stderr


def without_rights() -> None:
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        SniffSource("any")
    except EnvironmentLacks as error:
        sys.stdout.write(str(error))
