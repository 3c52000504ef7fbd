"""Datagrams forged from each place that reaches a link's socket: what is taken, and why the rest is dropped.

Each scene is played in a process of its own: this machine has a wire to the peer and one to the clients' network, and
believes every source address (rp_filter 0, and IPv6, which has none).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from atmdepot.config.units import UdpAddress
from atmdepot.drops import DropReason, Drops
from atmdepot.lab import namespaces
from atmdepot.net.routes import AGAIN
from atmdepot.net.udp_link import UdpLink
from atmdepot.wire.aal5 import cpcs_pdu
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.link_tag import LinkTag
from atmdepot.wire.statistics import ServerState, Statistics
from tests.net.ends import PATIENCE, is_readable

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT, KEY = 5501, bytes(range(16))
NETS = {4: ("10.0.1.", "10.0.9."), 6: ("fd00:1::", "fd00:9::")}
_STATISTICS = cpcs_pdu(Statistics(ServerState.REFUSES, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0).pack())
_MANAGEMENT = CellHeader(1, 33).pack(), CellHeader(1, 33, 1).pack()
KINDS = {
    "cells": CellHeader(1, 64).pack() + bytes(48),
    "statistics": b"".join(header + _STATISTICS[at:at + 48] for header, at in zip(_MANAGEMENT, (0, 48), strict=True)),
    "OAM": CellHeader(1, 64, 5).pack() + bytes.fromhex("1801000000010000") + bytes(40),
    "idle": CellHeader(0, 0, 0, 1).pack() + b"\x6a" * 48,
    "no cells": b"an announcement of what is not",
}


class Place:
    """A namespace at the far end of a wire, and sockets in it."""

    def __init__(self, wire: str) -> None:
        self.door = namespaces.new_network_namespace()
        with IPRoute() as kernel:
            kernel.link("add", ifname=wire, kind="veth", peer={"ifname": "home", "net_ns_fd": self.door})
        self.index = socket.if_nametoindex(wire)
        with self.inside() as kernel:
            for name in ("lo", "home"):
                kernel.link("set", index=socket.if_nametoindex(name), state="up")

    @contextlib.contextmanager
    def inside(self) -> Iterator[IPRoute]:
        with namespaces.in_network_namespace(self.door), IPRoute() as kernel:
            yield kernel

    def add(self, address: str, device: str = "home") -> None:
        with self.inside() as kernel:
            add(kernel, address, device)

    def socket_at(self, address: str) -> socket.socket:
        with self.inside():
            made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((address, PORT))
        return made


def add(kernel: IPRoute, address: str, device: str, bits: int | None = None) -> None:
    bits = bits or (64 if ":" in address else 24)
    # IFA_F_NODAD: usable at once.
    kernel.addr("add", index=socket.if_nametoindex(device), address=address, prefixlen=bits,
                **({"flags": 2} if ":" in address else {}))


def enter() -> None:
    if os.geteuid():
        namespaces.enter_new_user_namespace()
    namespaces.unshare(namespaces.CLONE_NEWNET)
    with contextlib.suppress(OSError):
        for name in ("all", "default"):
            Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")


class Scene:
    """This machine with the link, the peer, and a client who has the peer's address as well."""

    def __init__(self, version: int) -> None:
        wire, clients = NETS[version]
        self.now = 0
        self.own, self.peers_address, self.other = f"{wire}1", f"{wire}2", f"{wire}3"
        self.peer, self.client = Place("wire"), Place("clients")
        with IPRoute() as kernel:
            for name, net in (("wire", wire), ("clients", clients)):
                kernel.link("set", index=socket.if_nametoindex(name), state="up")
                add(kernel, f"{net}1", name)
            kernel.link("set", index=1, state="up")
        for address in (self.peers_address, self.other):
            self.peer.add(address)
        self.client.add(f"{clients}2")
        with self.client.inside() as kernel:
            add(kernel, self.peers_address, "lo", 128 if version == 6 else 32)
            kernel.route("add", dst=f"{self.own}/{128 if version == 6 else 32}", gateway=f"{clients}1",
                         oif=socket.if_nametoindex("home"))
        self.clients_address = f"{clients}2"
        self.links: list[UdpLink] = []

    def link(self, tag: LinkTag | None = None, *, any_interface: bool = False) -> UdpLink:
        for link in self.links:
            link.close()
        ends = (UdpAddress.of(host, PORT) for host in (self.own, self.peers_address))
        link = UdpLink("lnk", *ends, 27, Drops(), form=tag, clock=lambda: self.now, any_interface=any_interface)
        self.links.append(link)
        return link

    def sent(self, link: UdpLink, sender: socket.socket, datagram: bytes) -> tuple[bytes, dict[DropReason, int]]:
        """The fate of a datagram: the cells that were taken, and the counts meanwhile."""
        before = Drops(link.drops)
        for _ in range(int(PATIENCE * 10)):  # the first ones may be lost, until neighbours know each other
            sender.sendto(datagram, (self.own, PORT))
            with contextlib.suppress(AssertionError):
                wait_readable_soon(link)
                break
        got = b"".join(link.receive_burst(16))
        while is_readable(link.fileno()):
            link.receive_burst(16)
        return got, {reason: 1 for reason in link.drops if link.drops[reason] > before[reason]}


def wait_readable_soon(link: UdpLink) -> None:
    assert select.select([link.fileno()], [], [], 0.1)[0]


def play(name: str) -> None:
    run = f"from tests.net.test_link_fence import SCENES, enter; enter(); SCENES[{name!r}]()"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=False,
                          timeout=3 * PATIENCE, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr


def matrix(version: int) -> None:
    """From each place, each kind of datagram, without a key."""
    it = Scene(version)
    link = it.link()
    peer, beside = it.peer.socket_at(it.peers_address), it.peer.socket_at(it.other)
    client, forger = it.client.socket_at(it.clients_address), it.client.socket_at(it.peers_address)
    for kind, octets in KINDS.items():
        right = (octets, {}) if len(octets) % 53 == 0 else (b"", {DropReason.NOT_WHOLE_CELLS: 1})
        assert it.sent(link, peer, octets) == right, kind
        assert it.sent(link, beside, octets) == (b"", {DropReason.NOT_THE_PEER: 1}), kind
        assert it.sent(link, client, octets) == (b"", {DropReason.NOT_THE_PEER: 1}), kind
        assert it.sent(link, forger, octets) == (b"", {DropReason.WRONG_INTERFACE: 1}), kind
    loose = it.link(any_interface=True)
    assert it.sent(loose, forger, KINDS["cells"])[0].startswith(KINDS["cells"]), "or this scene would prove nothing"


def with_a_key(version: int) -> None:
    """The same with a key: on the peer's own wire, too, a datagram must have a tag that is right and new."""
    it = Scene(version)
    link = it.link(LinkTag(KEY, 0, 1))
    tag = LinkTag(KEY, 1, 1)
    peer, forger = it.peer.socket_at(it.peers_address), it.client.socket_at(it.peers_address)
    for octets in (octets for octets in KINDS.values() if len(octets) % 53 == 0):
        sealed = tag.seal(octets)
        assert it.sent(link, forger, sealed) == (b"", {DropReason.WRONG_INTERFACE: 1})
        assert it.sent(link, peer, octets) == (b"", {DropReason.BAD_TAG: 1})
        assert it.sent(link, peer, sealed)[0] == octets
        assert it.sent(link, peer, sealed) == (b"", {DropReason.REPLAYED: 1})


def route_changes(version: int) -> None:
    """The peer moves to the other wire: its first datagram that comes there has the routes asked again."""
    it = Scene(version)
    link = it.link()
    peer, moved = it.peer.socket_at(it.peers_address), it.client.socket_at(it.peers_address)
    octets = KINDS["cells"]
    assert it.sent(link, peer, octets)[0].startswith(octets)
    with IPRoute() as kernel:
        kernel.route("add", dst=f"{it.peers_address}/{128 if version == 6 else 32}", gateway=it.clients_address,
                     oif=it.client.index)
    assert it.sent(link, moved, octets) == (b"", {DropReason.WRONG_INTERFACE: 1}), "the clock stands"
    it.now = AGAIN
    assert it.sent(link, moved, octets)[0].startswith(octets)
    assert it.sent(link, peer, octets) == (b"", {DropReason.WRONG_INTERFACE: 1})


SCENES = {f"{scene.__name__} {version}": (lambda scene=scene, version=version: scene(version))
          for scene in (matrix, with_a_key, route_changes) for version in (4, 6)}


@pytest.mark.namespaces
@pytest.mark.parametrize("name", SCENES)
def test_scene(name: str) -> None:
    play(name)
