"""What a daemon sets up on its host: its TUN device, and the routes that lead service traffic through it.

Only what the VC table's node asks for is made, and only that is removed again: the device, with its addresses and
routes, goes with its descriptor; policy rules and addresses on the loopback are recorded and taken back.
"""

from __future__ import annotations

import errno
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute, NetlinkError

from atmdepot.errors import EnvironmentLacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.model import Network, Node
    from atmdepot.config.units import IpAddress

_FIRST_TABLE = 5300
_RULE_PRIORITY = 5300
_QUEUE = 4096
_IFF_MULTICAST = 0x1000
_PROC = Path("/proc/sys/net")

log = logging.getLogger("atmdepot")


class HostSetup:
    """The set-up of one node on this host."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name
        self._node: Node = network.nodes[name]
        self._undo: list[Callable[[IPRoute], object]] = []

    def apply(self) -> None:
        """Configure the TUN device and the routes; raise EnvironmentLacks with the reason when that fails."""
        if not self._node.configure:
            return
        try:
            with IPRoute() as ip:
                tun = ip.link_lookup(ifname=self._node.tun)[0]
                self._device(ip, tun)
                if self._node.kind == "depot":
                    self._depot(ip, tun)
                else:
                    self._edge(ip, tun)
        except (NetlinkError, IndexError, OSError) as error:
            reason = error.args[-1] if error.args else error
            raise EnvironmentLacks(f"TUN device {self._node.tun} cannot be configured: {reason}") from None

    def _device(self, ip: IPRoute, tun: int) -> None:
        # The node answers for no address of its own on the link, so the kernel need not make one or ask for routers.
        _write(_PROC / f"ipv6/conf/{self._node.tun}/addr_gen_mode", "1")
        _write(_PROC / f"ipv4/conf/{self._node.tun}/rp_filter", "0")
        # Nor has it anything to say to groups.
        ip.link("set", index=tun, flags=0, change=_IFF_MULTICAST)
        # The length of the queue before the state: on a device that is up, the kernel stops the queue to change it,
        # and drops what it is given meanwhile.
        ip.link("set", index=tun, mtu=self._node.mtu, txqlen=_QUEUE)
        ip.link("set", index=tun, state="up")
        for address in self._node.address:
            _tolerate(ip.addr, "add", index=tun, address=address, prefixlen=_bits(address), family=_family(address))

    def _depot(self, ip: IPRoute, tun: int) -> None:
        """Service addresses lead into the TUN device; the host routes between it and the clients."""
        for vip in self._network.vips:
            _tolerate(ip.route, "replace", dst=f"{vip}/{_bits(vip)}", oif=tun, family=_family(vip))
        for version, switch in ((4, "ipv4/ip_forward"), (6, "ipv6/conf/all/forwarding")):
            wanted = any(vip.version == version for vip in self._network.vips)
            if wanted and _read(_PROC / switch) == "0":
                log.warning("this host does not forward IPv%d, so no client is reached: sysctl -w net.%s=1",
                            version, switch.replace("/", "."))

    def _edge(self, ip: IPRoute, tun: int) -> None:
        """What comes from a service address leaves through the TUN device; the address is here or on the LAN behind."""
        table = _FIRST_TABLE + self._network.edges.index(self._name)
        server = next((s for s in self._network.servers.values() if s.node == self._name), None)
        for vip in self._network.vips:
            family = _family(vip)
            _tolerate(ip.route, "replace", dst="default", oif=tun, table=table, family=family)
            rule = {"src": str(vip), "src_len": _bits(vip), "table": table, "priority": _RULE_PRIORITY,
                    "family": family}
            self._add(ip, "rule", rule)
            via = next((a for a in server.address if a.version == vip.version), None) if server else None
            if via is not None:
                self._add(ip, "route", {"dst": f"{vip}/{_bits(vip)}", "gateway": str(via), "family": family})
            else:
                loopback = ip.link_lookup(ifname="lo")[0]
                self._add(ip, "addr", {"index": loopback, "address": str(vip), "prefixlen": _bits(vip),
                                       "family": family})

    def _add(self, ip: IPRoute, what: str, arguments: dict[str, Any]) -> None:
        """Add something that does not go with the device; what was there before is not ours to remove."""
        if _tolerate(getattr(ip, what), "add", **arguments):
            self._undo.append(lambda later: getattr(later, what)("del", **arguments))

    def undo(self) -> None:
        """Remove what was added and does not go with the device."""
        if not self._undo:
            return
        with IPRoute() as ip:
            while self._undo:
                try:
                    self._undo.pop()(ip)
                except (NetlinkError, OSError) as error:
                    log.warning("left behind: %s", error)


def _tolerate(call: Callable[..., object], verb: str, **arguments: Any) -> bool:
    """Add something; False when it was there already."""
    try:
        call(verb, **arguments)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
        return False
    return True


def _family(address: IpAddress) -> int:
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


def _bits(address: IpAddress) -> int:
    return len(address.packed) * 8


def _write(path: Path, value: str) -> None:
    """Set a switch of the kernel's, where it has one."""
    try:
        path.write_text(value)
    except OSError as error:
        log.info("%s: %s", path, error.strerror)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
