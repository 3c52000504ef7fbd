"""Frames with a virtio_net_hdr as the kernel takes them; it runs in a network namespace of its own.

`kernel_offload.py cut`: each line of standard input is a frame in hexadecimal digits. It is written to a TUN device;
what a TUN device without offloads gives, to which the kernel forwards it, is told on standard output: a list in JSON.

    frame ─> in0 ─> the kernel forwards, and has to segment ─> out0 ─> packets

`kernel_offload.py stream WORDS...`: a TCP connection over IPv4 (or 6, with the word) sends some octets, from one
namespace to another between whose TUN devices this program is the wire. With `offload` they have offloads; with `ecn`
the first flight is marked as congested. What the sender sent is told, frames and packets.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING

from pyroute2 import IPRoute

from atmdepot.lab import namespaces
from atmdepot.net.offload_tun import CSUM, TSO4, TSO6, TSO_ECN, OffloadTun
from atmdepot.net.tun import Tun
from atmdepot.wire.offload import HEADER_LENGTH, cut
from tests.ip_packets import checksum, packed, udp

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE, DESTINATION = "10.1.0.2", "10.2.0.2"
SOURCE6, DESTINATION6 = "fd00:1::2", "fd00:2::2"
OCTETS = 300_000
ALL_OFFLOADS = CSUM | TSO4 | TSO6 | TSO_ECN
_CE = 3
_NO_DAD, _LOCAL_TABLE = 2, 255


def sysctl(name: str, value: int) -> None:
    """Set it in the namespace that this process is in."""
    Path("/proc/sys/net", name).write_text(str(value), encoding="ascii")


def configure(name: str, addresses: tuple[str, ...], routes: tuple[str, ...]) -> None:
    """Give a TUN device its addresses, set it up, and lead routes through it."""
    with IPRoute() as ip:
        [index] = ip.link_lookup(ifname=name)
        ip.link("set", index=index, mtu=1500, txqlen=5000, state="up")
        for address in addresses:
            ip.addr("add", index=index, address=address, prefixlen=128 if ":" in address else 32, flags=_NO_DAD)
            if ":" in address:  # the kernel takes its time to do this
                ip.route("replace", dst=f"{address}/128", oif=index, table=_LOCAL_TABLE, type="local")
        for route in routes:
            ip.route("add", dst=f"{route}/{128 if ':' in route else 32}", oif=index)


def tell(answer: object) -> None:
    """One line of JSON."""
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


# Cutting.

def cut_lines() -> None:
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        sysctl(name, 1)
    sysctl("ipv4/conf/all/rp_filter", 0)
    sysctl("ipv4/conf/default/rp_filter", 0)
    inlet, outlet = OffloadTun("in0", whole=False), Tun("out0")
    configure("in0", ("10.1.0.1", "fd00:1::1"), (SOURCE, SOURCE6))
    configure("out0", ("10.2.0.1", "fd00:2::1"), (DESTINATION, DESTINATION6))
    for number, line in enumerate(sys.stdin):
        try:
            os.write(inlet.fileno(), bytes.fromhex(line))
        except OSError:
            tell(None)
            continue
        marker = udp(SOURCE, 9, DESTINATION, 9, pack(">I", number))
        os.write(inlet.fileno(), bytes(HEADER_LENGTH) + marker)
        tell([packet.hex() for packet in until(outlet, marker[20:])])


def until(device: Tun, marker: bytes) -> list[bytes]:
    """The packets for the destination that a device gives before that with the marker."""
    destinations = {packed(DESTINATION), packed(DESTINATION6)}
    found: list[bytes] = []
    while True:
        assert select.select([device.fileno()], [], [], 10)[0], "the marker was lost"
        for packet in device.read_burst(1):
            if packet[20:] == marker:
                return found
            if destinations & {packet[16:20], packet[24:40]}:
                found.append(packet)


# A stream.

class End:
    """A namespace with a TUN device and the socket of a connection."""

    def __init__(self, mine: tuple[str, str], other: tuple[str, str], words: list[str]) -> None:
        self.namespace = namespaces.new_network_namespace()
        self.frames: list[bytes] = []
        self.packets: list[bytes] = []
        with self.entered():
            self.device = OffloadTun("t0", whole=False) if "offload" in words else Tun("t0")
            assert getattr(self.device, "offloads", ALL_OFFLOADS) == ALL_OFFLOADS
            configure("t0", mine, other)
            sysctl("ipv4/tcp_ecn", int("ecn" in words))
            sysctl("ipv4/tcp_min_tso_segs", 40)  # else the round trip's time would say how great frames become

    def entered(self) -> contextlib.AbstractContextManager[None]:
        return namespaces.in_network_namespace(self.namespace)

    def take(self) -> list[bytes]:
        """The reads of the device."""
        taken: list[bytes] = []
        for frame in self._read():
            self.frames.append(frame)
            taken += cut(frame)
        self.packets += taken
        return taken

    def _read(self) -> Iterator[bytes]:
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = os.read(self.device.fileno(), 70_000)
                yield frame if isinstance(self.device, OffloadTun) else bytes(HEADER_LENGTH) + frame

    def counter(self, name: str) -> int:
        """One of the kernel's counters of TCP."""
        with self.entered():
            lines = Path("/proc/thread-self/net/snmp").read_text(encoding="ascii").splitlines()
        names, values = (line.split() for line in lines if line.startswith("Tcp:"))
        return int(values[names.index(name)])


def stream(words: list[str]) -> None:
    family, far = (socket.AF_INET6, DESTINATION6) if "6" in words else (socket.AF_INET, DESTINATION)
    near = End((SOURCE, SOURCE6), (DESTINATION, DESTINATION6), words)
    end = End((DESTINATION, DESTINATION6), (SOURCE, SOURCE6), words)
    with end.entered():
        listener = socket.create_server((far, 80), family=family)
        listener.settimeout(10)
    with near.entered():
        sender = socket.socket(family)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * OCTETS)
    sender.setblocking(False)
    sender.connect_ex((far, 80))
    carry(near, end)
    receiver, _ = listener.accept()
    receiver.setblocking(False)
    sent = os.urandom(OCTETS)
    assert sender.send(sent) == OCTETS
    sender.shutdown(socket.SHUT_WR)
    got = receive(receiver, near, end, "ecn" in words)
    tell({"whole": got == sent, "errors": end.counter("InErrs") + near.counter("InErrs"),
          "frames": [frame.hex() for frame in near.frames], "packets": [packet.hex() for packet in near.packets]})


def receive(receiver: socket.socket, near: End, end: End, congested: bool) -> bytes:
    """All octets that the receiver gets, from a wire that is congested once, or never."""
    parts: list[bytes] = []
    while not parts or parts[-1]:
        carry(near, end, congested)
        congested = False
        try:
            while not parts or parts[-1]:
                parts.append(receiver.recv(1 << 20))
        except BlockingIOError:
            select.select([receiver, near.device, end.device], [], [], 10)
    return b"".join(parts)


def carry(near: End, end: End, congested: bool = False) -> None:
    """Take packets from one to the other until neither has any."""
    while (there := near.take()) + (back := end.take()):
        refused = end.device.write_burst([congest(packet) if congested else packet for packet in there])
        refused += near.device.write_burst(back)
        assert not refused


def congest(packet: bytes) -> bytes:
    """Mark an IPv4 packet with CE, as a router does (RFC 3168)."""
    head = bytearray(packet[:20])
    head[1] |= _CE
    head[10:12] = bytes(2)
    head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
    return bytes(head) + packet[20:]


if __name__ == "__main__":
    if sys.argv[1] == "cut":
        cut_lines()
    else:
        stream(sys.argv[2:])
