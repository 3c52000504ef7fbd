"""Random and damaged octets for all that is compiled, for as long as one likes: `python -m tests.fuzz --seconds 600`.

Every compiled function must give what its plain twin gives, or raise the same; depot, edge nodes and a switch must take
anything without raising. `make sanitize` runs it on a build with AddressSanitizer and UBSan, which end the process at
the first wrong access. A failure tells the seed of its round, and `--seed N --rounds 1` repeats it.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from atmdepot import build
from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.net import bursts
from atmdepot.net.frames import read_frames, read_frames_plainly, write_frames, write_frames_plainly
from atmdepot.wire import octets as cells_of
from atmdepot.wire import offload, packet
from atmdepot.wire.aal5 import CrcMode
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.llc import Encapsulation
from tests.depot.pairs import Pair
from tests.hostile_network import VARIANTS, HostileNetwork
from tests.ip_packets import icmp_error, ip, packed, ping, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork, SeededFaults, make_network
from tests.wire.frames import Stream
from tests.wire.test_whole_frames import Ends

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INTERESTING = (0, 1, 4, 5, 6, 8, 15, 16, 17, 40, 47, 48, 53, 0x45, 0x60, 0x7F, 0x80, 0xFE, 0xFF)
_MAX_OCTETS = 4096
_EVERY = 10.0


def seeds() -> list[bytes]:
    """Packets of every kind that the data path tells apart."""
    made = []
    for client, vip in ((CLIENT4, VIP4), (CLIENT6, VIP6)):
        for flags in (2, 0x12, 0x10, 0x18, 0x11, 0x04, 0xC2):
            made.append(tcp(client, 40_000, vip, 80, flags))
            made.append(tcp(vip, 80, client, 40_000, flags))
        made += [udp(client, 5000, vip, 80, b"data" * 9), ping(client, vip, bytes(64)),
                 icmp_error(client, vip, tcp(vip, 80, client, 40_000, 0x10)), ip(client, vip, 17, bytes(64), dscp=46)]
    stream = Stream(data=bytes(range(250)) * 12, source=b"\x0a\x09\x00\x02", destination=b"\x0a\x50\x00\x01")
    return made + stream.packets + stream.over_ipv6().packets


def damaged(random: Random, octets: bytes) -> bytes:
    """The octets with up to four faults: bits and octets changed, pieces cut out, doubled, put in, or the end cut."""
    made = bytearray(octets)
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        at = random.randrange(len(made) + 1)
        kind = random.randrange(7)
        if kind == 0 and made:
            made[at % len(made)] ^= 1 << random.randrange(8)
        elif kind == 1 and made:
            made[at % len(made)] = random.choice(_INTERESTING)
        elif kind == 2:
            del made[at:at + random.randrange(1, 60)]
        elif kind == 3:
            made[at:at] = made[at:at + random.randrange(1, 60)]
        elif kind == 4:
            made[at:at] = random.randbytes(random.randrange(1, 60))
        elif kind == 5:
            del made[at:]
        elif len(made) > 1:
            at %= len(made) - 1
            made[at:at + 2] = random.randbytes(2)
    return bytes(made[:_MAX_OCTETS * 16])


def outcome(function: Callable[..., object], *arguments: object) -> object:
    """The result of a function, or the kind of what it raises."""
    try:
        return function(*arguments)
    except (ValueError, IndexError) as error:
        return type(error)


def same(name: str, one: object, other: object, *what: object) -> None:
    """Raise AssertionError when twins differ."""
    if one != other:
        raise AssertionError(f"{name}: {one!r} but {other!r} of {what!r}"[:4000])


class Fuzz:
    """The targets, by name; each takes a generator of random numbers."""

    def __init__(self) -> None:
        self.seeds = seeds()
        self.frames = [stream.frame for stream in (
            Stream(), Stream().over_ipv6(), Stream(size=536, tcp_options=b""), Stream(data=b"x" * 100, size=9),
            *(Stream(source=packed(one), destination=packed(other), ports=ports, sequence=1, acknowledgment=1)
              for one, other, ports in ((CLIENT4, VIP4, (40_000, 80)), (VIP4, CLIENT4, (80, 40_000)))))]
        self.network = make_network(servers=2, tables='[sessions]\nmax_sessions = 200\nmax_half_open = 50\n')
        self.net = InMemoryNetwork(self.network)
        self.now = SECOND
        self.targets: dict[str, Callable[[Random], None]] = {
            "cells": self.cells, "packets": self.packets, "frames": self.cut_frames, "merged": self.merged,
            "whole frames": self.whole_frames, "gulped": self.gulped,
            "frame bursts": self.frame_bursts, "datagrams": self.datagrams, "nodes": self.nodes,
            "network": self.hostile_network, "stream": self.stream}
        self.pair = Pair()
        for number in range(40_000, 40_040):
            self.pair.open(number)
        self.pair.stream.keep(self.pair.now)
        self.pair.connect()
        self.pair.reader.slice(self.pair.now)
        self.streams = [self.pair.reader.take(_MAX_OCTETS)]

    def any_packet(self, random: Random) -> bytes:
        """A packet, mostly a damaged one."""
        return damaged(random, random.choice(self.seeds))

    def cells(self, random: Random) -> None:
        """Segmentation, headers, and what is reassembled of damaged cells."""
        vpi, vci, clp = random.randrange(1 << 12), random.randrange(1 << 16), random.randrange(2)
        headers = cells_of.vc_headers(vpi, vci)
        same("vc_headers", headers, cells_of.vc_headers_plainly(vpi, vci), vpi, vci)
        sdu = random.randbytes(random.choice((0, 1, 39, 40, 41, 48, 88, random.randrange(2000), 65_535)))
        train = outcome(cells_of.train, sdu, headers, clp)
        same("train", train, outcome(cells_of.train_plainly, sdu, headers, clp), sdu[:99], clp)
        if not isinstance(train, bytes):
            return
        mixed = damaged(random, train)
        mixed = mixed[:len(mixed) // CELL_SIZE * CELL_SIZE]
        count = len(mixed) // CELL_SIZE
        first, run, most = random.randrange(-2, count + 3), random.randrange(-2, count + 3), random.randrange(70_000)
        for name in ("payloads", "sdu_of_cells"):
            arguments = (mixed, first, run) if name == "payloads" else (mixed, first, run, most)
            if 0 <= first <= count and 0 <= run <= count - first:
                same(name, outcome(getattr(cells_of, name), *arguments),
                     outcome(getattr(cells_of, f"{name}_plainly"), *arguments), mixed[:200], first, run)
            else:
                outcome(getattr(cells_of, name), *arguments)
        pdu = cells_of.payloads(mixed, 0, count)
        pdu = pdu[random.randrange(3):] if random.random() < 0.2 else pdu
        same("sdu_of_pdu", cells_of.sdu_of_pdu(pdu, most), cells_of.sdu_of_pdu_plainly(pdu, most), pdu[-99:], most)
        for at in range(min(count, 4)):
            header = mixed[at * CELL_SIZE:at * CELL_SIZE + 5]
            for is_nni in (False, True):
                word = cells_of.user_word_plainly(header, is_nni)
                same("user_word", cells_of.user_word(header, is_nni), word, header)
                same("user_word_at", cells_of.user_word_at(cells_of.headers_of(mixed), at, is_nni), word, header)
            same("run_end", cells_of.run_end(cells_of.headers_of(mixed), at, count),
                 cells_of.run_end_plainly(cells_of.headers_of_plainly(mixed), at, count), mixed[:200], at)

    def packets(self, random: Random) -> None:
        """The packet analyser."""
        octets = self.any_packet(random)
        same("analyse", outcome(packet.analyse, octets), outcome(packet.analyse_by_views, octets), octets)

    def cut_frames(self, random: Random) -> None:
        """Frames of a TUN device with offload."""
        frame = damaged(random, random.choice(self.frames))
        same("cut", outcome(offload.cut, frame), outcome(offload.cut_plainly, frame), frame[:200])

    def merged(self, random: Random) -> None:
        """Bursts of packets that may be merged."""
        stream = Stream(data=random.randbytes(random.randrange(1, 9000)), size=random.choice((9, 536, 1448)))
        packets = (stream if random.random() < 0.5 else stream.over_ipv6()).packets
        if random.random() < 0.7:
            packets = [damaged(random, one) if random.random() < 0.1 else one for one in packets]
        packets = [one for one in packets if one]
        same("coalesce", offload.coalesce(packets), offload.coalesce_plainly(packets), len(packets))

    def whole_frames(self, random: Random) -> None:
        """Frames that stay whole, and their cells."""
        octets = damaged(random, random.choice(self.frames))
        frame, plain = offload.frame_of(octets), offload.frame_of_plainly(octets)
        if frame is None or plain is None:
            same("frame_of", frame is None, plain is None, octets[:200])
            return
        same("packets", frame.packets(), plain.packets(), octets[:200])
        same("octets", frame.octets()[offload.HEADER_LENGTH:], plain.octets()[offload.HEADER_LENGTH:], octets[:200])
        headers, clp, llc = cells_of.vc_headers(1, 77), random.randrange(2), random.random() < 0.5
        most = random.choice((0, 1000, 5000, 64_395))
        same("trains", frame.trains(headers, clp, llc, most), plain.trains(headers, clp, llc, most), octets[:200], most)
        same("the frame afterwards", frame.packets(), plain.packets(), octets[:200])

    def gulped(self, random: Random) -> None:
        """Frames of cells, some of them damaged, beside their packets one by one."""
        stream = Stream(data=random.randbytes(random.randrange(1, 9000)), size=random.choice((9, 100, 536, 1448)))
        packets = (stream if random.random() < 0.5 else stream.over_ipv6()).packets
        ends = Ends.of(random.choice(list(Encapsulation)), random.choice(list(CrcMode)),
                       random.choice((100, 2000, 9000)))
        vc = Vc(1, 77, encapsulation=random.choice((Encapsulation.VC_MUX, Encapsulation.LLC)))
        packets = [damaged(random, one)[:9000] if random.random() < 0.05 else one for one in packets]
        cells = b"".join(segment(one, vc) for one in packets if one and one[0] >> 4 in (4, 6))
        if random.random() < 0.5:
            cells = damaged(random, cells)
        cells = cells[:len(cells) // CELL_SIZE * CELL_SIZE]
        cut = random.randrange(len(cells) // CELL_SIZE + 1) * CELL_SIZE
        ends.compare(cells[:cut])
        ends.compare(cells[cut:])

    def frame_bursts(self, random: Random) -> None:
        """Reading and writing frames, through a pair of sockets in the device's place."""
        inner, outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with inner, outer:
            for end in (inner, outer):
                end.setblocking(False)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**22)
            frames = [damaged(random, random.choice(self.frames)) or b"\0" for _ in range(random.randrange(4))]
            got = []
            for read in (read_frames, read_frames_plainly):
                for frame in frames:
                    outer.send(frame)
                got.append(read(inner.fileno(), 1000))
            same("read_frames", got[0], got[1], [frame[:99] for frame in frames])
            for frame in frames:
                outer.send(frame)
            whole, malformed, _ = read_frames(inner.fileno(), 1000, True)
            same("read whole", (offload.packets_of(whole), malformed), (got[1][0], got[1][1]), len(frames))
            if whole:
                refused = write_frames(inner.fileno(), whole)
                written_whole = bursts.read_packets(outer.fileno(), 1000)[0]
                same("write whole", (refused, [one for frame in written_whole for one in offload.cut_plainly(frame)]),
                     ([], offload.packets_of(whole)), len(whole))
            packets = [one for one in (self.any_packet(random) for _ in range(random.randrange(6))) if one]
            written = []
            for write in (write_frames, write_frames_plainly):
                refused = write(inner.fileno(), packets)
                written.append((refused, bursts.read_packets(outer.fileno(), 1000)[0]))
            same("write_frames", written[0], written[1], packets)

    def datagrams(self, random: Random) -> None:
        """Bursts of datagrams of any length, cut by the kernel or not."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET,
                                                                                   socket.SOCK_DGRAM) as other:
            for end in (one, other):
                end.bind(("127.0.0.1", 0))
                end.setblocking(False)
            if random.random() < 0.7:
                other.setsockopt(17, 104, 1)  # UDP_GRO
            near = bursts.Datagrams(one.fileno(), socket.AF_INET, other.getsockname())
            far = bursts.Datagrams(other.fileno(), socket.AF_INET, random.choice((one, other)).getsockname())
            sent = random.randbytes(random.randrange(0, 8000))
            near.send(sent, 0, random.choice((53, 530, 4000)), random.choice((53, 106, 1400)))
            if random.random() < 0.2:
                one.sendto(b"", other.getsockname())
            received = far.receive(random.randrange(40))
            for item in received:
                if isinstance(item, bytes):
                    good = item in sent and item and len(item) % CELL_SIZE == 0
                else:
                    good = item[0] in sent and item[1] >= 0
                if not good:
                    raise AssertionError(f"received {item!r:.300}")

    def nodes(self, random: Random) -> None:
        """A whole depot and its edge nodes: damaged packets from either side, and damaged cells between them."""
        self.now += random.choice((0, 1000, SECOND // 10, 3 * SECOND, 200 * SECOND))
        nodes = [self.net.depot, *self.net.edges.values()]
        for node in nodes:
            node.keep_frames(random.random() < 0.8)
        faults = SeededFaults(random.getrandbits(32), rate=random.choice((0.0, 0.05, 0.5)))
        for _ in range(random.randrange(1, 20)):
            node = random.choice(nodes)
            if random.random() < 0.3:
                octets = damaged(random, random.choice(self.frames))
                burst = [offload.frame_of(octets) or self.any_packet(random)]
                node.packets_from_host(burst, self.now)
            else:
                node.packet_from_tun(self.any_packet(random), self.now)
        for node in nodes:
            for name, link in node.links.items():
                cells = faults(link.transmit(0))
                if random.random() < 0.1:
                    cells += random.randbytes(CELL_SIZE * random.randrange(4))
                far = next(other for other in nodes if other is not node and name in other.links)
                far.octets_from_port(name, cells, self.now)
        for node in nodes:
            offload.packets_of(node.take_packets())
            if (due := node.next_timer()) is not None and due <= self.now:
                node.handle_timer(self.now)

    def hostile_network(self, random: Random) -> None:
        """A depot, a switch and edge nodes with all that a VC table can turn on."""
        network = HostileNetwork(random.choice(VARIANTS), self.seeds, damaged)
        for _ in range(10):
            network.round(random)

    def stream(self, random: Random) -> None:
        """The stream of another depot, whole and damaged: at most ValueError, and packets pass before and after."""
        pair = Pair(self.pair.network)
        for _ in range(3):
            try:
                pair.replica.begin("depot1")
                octets = random.choice(self.streams)
                pair.replica.feed(octets if random.random() < 0.2 else damaged(random, octets), pair.now)
                pair.replica.slice(pair.now)
            except ValueError:
                continue
            finally:
                for octets in random.choices(self.seeds, k=4):
                    pair.standby.packet_from_tun(octets, pair.now)
                pair.now += random.choice((0, SECOND, 100 * SECOND))
                pair.standby.handle_timer(pair.now)


def run(seconds: float, rounds: int, first: int, out: Callable[[str], object]) -> Counter[str]:
    """Fuzz for so long, or so many rounds of each target; what was done, by target."""
    fuzz = Fuzz()
    done: Counter[str] = Counter()
    begin = told = time.monotonic()
    number = first
    while (not rounds or number < first + rounds) and time.monotonic() - begin < seconds:
        for name, target in fuzz.targets.items():
            try:
                target(Random(f"{name} {number}"))
            except BaseException:
                out(f"target {name!r}, seed {number}:")
                raise
            done[name] += 1
        number += 1
        if time.monotonic() - told >= _EVERY:
            told = time.monotonic()
            out(f"{told - begin:5.0f} s, {done.total():,} cases")
    return done


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long (60)")
    parser.add_argument("--rounds", type=int, default=0, help="at most so many rounds of each target")
    parser.add_argument("--seed", type=int, default=0, help="the first round's seed (0)")
    options = parser.parse_args(arguments)
    print(build.describe(), flush=True)
    done = run(options.seconds, options.rounds, options.seed, lambda line: print(line, file=sys.stderr, flush=True))
    print("found nothing in " + ", ".join(f"{count:,} {name}" for name, count in done.items()))


if __name__ == "__main__":
    main()
