"""Set-up of a daemon's host: its TUN device, and the routes that lead service traffic through it.

The daemon makes only what its node in the VC table asks for, and removes only that. The device goes with its
descriptor, and takes its addresses and routes along; policy rules and addresses on the loopback are recorded
(`net/journal.py`) and taken back. `check` finds parts that were lost since and sets them up again; `net/host_watch.py`
calls it.
"""

from __future__ import annotations

import errno
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute, NetlinkError

from atmdepot.errors import EnvironmentLacks
from atmdepot.net import netlink, nftables, proxies
from atmdepot.net.host_parts import LOOPBACK, needs_of
from atmdepot.net.journal import Entry, Journal
from atmdepot.net.part import Part, bits_of, family_of
from atmdepot.paths import control_socket
from atmdepot.wire.ethernet import mac_of, mac_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from atmdepot.config.model import Network, Node
    from atmdepot.net.netlink import Event

_MAIN_TABLE = 254
_QUEUE = 4096
_IFF_UP = 0x1
_IFF_MULTICAST = 0x1000
_METRICS = {socket.AF_INET: 0, socket.AF_INET6: 1024}
"""The kernel's metric for a route that is added without a metric."""
_PROC = Path("/proc/sys/net")
_GONE = (errno.ENODEV, errno.ENXIO)
_OTHER_KINDS: dict[str, Any] = {nftables.WHAT: nftables, proxies.WHAT: proxies}
"""Modules that add and remove parts which are no request of pyroute2's, by kind."""
_REQUESTS = ("addr", "route", "rule")
"""The requests of pyroute2 that add and remove parts."""
_FAILURES = (NetlinkError, OSError, EnvironmentLacks)
"""The errors that are raised when a part cannot be set up."""
_NOT_THERE = (errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV)

log = logging.getLogger("atmdepot")


class HostSetup:
    """The set-up of a node on this host."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name
        self._node: Node = network.nodes[name]
        self._needs = needs_of(network, name)
        self._journal = Journal(control_socket(network.name, name).with_suffix(".host"))
        self._ours: list[Entry] = []
        self._parts: list[Part] = []
        self._kept: list[Part] = []
        """Parts among them that the table no longer asks for: sessions go on by them."""
        self._unset: dict[str, Part | None] = {}
        """By the text of each part that a reload has not set yet: the part of before in whose place it comes."""
        self._leaving: list[Part] = []
        """Parts that a reload has not taken away yet."""
        self._fault: dict[str, str] = {}
        """The error in atmdepot itself that ended the latest reload of the host; it is told until the next."""
        self._tun = 0
        self._is_new = False
        self.restored = 0
        """Count of parts that were set up again."""
        self.missing: dict[str, str] = {}
        """Reasons by the text of each part that could not be set up again."""

    @property
    def is_wanted(self) -> bool:
        """True when the daemon sets up its host: the node has a device, and the table says so (`configure`)."""
        return self._node.configure and self._needs.device

    @property
    def problem(self) -> str:
        """The missing parts on this host, with reasons; empty when all are there."""
        return "; ".join(f"{text}: {why}" for text, why in self.missing.items())

    def apply(self) -> None:
        """Configure the TUN device and the routes; raise EnvironmentLacks with the reason when that fails."""
        if not self.is_wanted:
            return
        try:
            with IPRoute() as ip:
                self._tun = ip.link_lookup(ifname=self._node.device)[0]
                self._parts = list(self._wanted())
                self._adopt(ip)
                self._device(ip)
                for part in self._parts:
                    self._set(ip, part)
        except (NetlinkError, IndexError, OSError) as error:
            reason = error.args[-1] if error.args else error
            raise EnvironmentLacks(f"{self._device_text} cannot be configured: {reason}") from None
        if self._needs.forwarding:
            self._look_at_forwarding()

    def renew(self) -> None:
        """Take up a device that was made anew; the next `check` sets it up, in steps."""
        if self.is_wanted:
            self._tun = socket.if_nametoindex(self._node.device)
            self._is_new = True
            self.missing = {self._device_text: "it was made again and is being set up"}

    def take_over(self, network: Network) -> None:
        """Set up what a table that was read again asks for, and take away what it no longer does.

        The node has the new table already, so nothing is raised: what fails is logged and counts as missing, and the
        checks of the parts try it again.
        """
        self._network = network
        if not self._parts:
            return
        self.missing = {text: why for text, why in self.missing.items() if text not in self._fault}
        self._fault = {}
        try:
            self._plan()
            if not (self._unset or self._leaving):
                return
            with IPRoute() as ip:
                for _ in self._take_leaving_away(ip):
                    pass
                for part in self._parts:
                    if part.text in self._unset:
                        self._try_to_set(ip, part)
        except OSError as error:  # no descriptor is free to ask the kernel
            log.error("what is set up on this host cannot be changed for the new VC table: %s", _reason(error))
            self.missing.update(dict.fromkeys([*self._unset, *map(_removal, self._leaving)], _reason(error)))
        except Exception as error:
            log.exception("an error in atmdepot itself: the host is not set up for the new VC table")
            self._fault = {"the set-up for the new VC table": _reason(error)}
            self.missing.update(self._fault)

    def _plan(self) -> None:
        """Note what is to be set and taken away for a new table."""
        before = self._parts
        wanted = list(self._wanted())
        entries, texts = [part.entry for part in wanted], {part.text for part in wanted}
        gone = [part for part in before if part.entry not in entries]
        kept = [part for part in gone if self._needs.keeps and part.text not in texts]
        self._kept = self._by_device(kept)
        self._parts = [*wanted, *self._kept]
        known, old = [part.entry for part in before], {part.text: part for part in gone}
        # What an earlier reload could not set comes in the place of what it found, which is there still.
        self._unset = {part.text: self._unset.get(part.text) or old.get(part.text) for part in self._parts
                       if part.text in self._unset or part.entry not in known}
        leaving = [part for part in gone
                   if part not in kept and not (part.text in texts and part.what == nftables.WHAT)]
        self._leaving = [part for part in (*self._leaving, *leaving) if part.entry not in entries]

    def _take_leaving_away(self, ip: IPRoute) -> Iterator[str]:
        """Remove the parts that leave, a part in each step."""
        while self._leaving:
            self._take_away(ip, self._leaving[0])
            del self._leaving[0]
            yield ""

    def _take_away(self, ip: IPRoute, part: Part) -> None:
        """Remove a part, if it is the daemon's."""
        if not part.stays or part.entry in self._ours:
            _remove(ip, part.entry)
            self._ours = [entry for entry in self._ours if entry != part.entry]
            self._journal.write(self._ours)

    def _try_to_set(self, ip: IPRoute, part: Part) -> None:
        try:
            self._set_in_place(ip, part)
            self.missing.pop(part.text, None)
        except Exception as error:  # an error in atmdepot itself, too, must not keep the other parts from being set
            self._note(part, "cannot be set up", error)

    def _note(self, part: Part, what: str, error: Exception, *, is_told: bool = False) -> None:
        self.missing[part.text] = _reason(error)
        if not is_told:
            log.error("%s %s: %s", part.text, what, _reason(error),
                      exc_info=None if isinstance(error, _FAILURES) else error)

    def _set_in_place(self, ip: IPRoute, part: Part) -> None:
        """Set a part of a reload; a table of nftables in place of the old one at once: no packet comes between."""
        old = self._unset[part.text]
        if old is None or part.what != nftables.WHAT:
            self._set(ip, part)
        else:
            nftables.replace(**part.arguments, patience=nftables.SHORT)
            self._ours = [*(entry for entry in self._ours if entry not in (old.entry, part.entry)), part.entry]
            self._journal.write(self._ours)
        del self._unset[part.text]

    def _device(self, ip: IPRoute) -> None:
        tun = self._tun
        _write(self._rp_filter, "0")
        if self._node.tap is None:
            # No link-local address (mode 1), for which the node would not answer; so the kernel asks for no routers
            # either. No multicast either: the node has no traffic for groups but by a route.
            _write(_PROC / f"ipv6/conf/{self._node.device}/addr_gen_mode", "1")
            ip.link("set", index=tun, flags=0, change=_IFF_MULTICAST)
        else:  # the kernel is the station, with the MAC address that the node would have
            vp = next(iter(self._network.vps_of(self._name)))
            ip.link("set", index=tun, address=mac_text(mac_of(self._network.name, self._name, vp)))
        if self._node.tap is None and self._node.address:
            # The node's ICMP errors come out of the device with its own address, which is this host's: without this
            # switch the kernel drops them as forged.
            _write(_PROC / f"ipv4/conf/{self._node.device}/accept_local", "1")
        # Set the queue's length before the state: the kernel stops the queue of a device that is up to change it,
        # and drops the packets that come meanwhile.
        ip.link("set", index=tun, mtu=self._node.mtu, txqlen=_QUEUE)
        ip.link("set", index=tun, state="up")

    @property
    def _device_text(self) -> str:
        return f"TUN device {self._node.device}"

    @property
    def _rp_filter(self) -> Path:
        return _PROC / f"ipv4/conf/{self._node.device}/rp_filter"

    def _look_at_forwarding(self) -> None:
        for version, switch in ((4, "ipv4/ip_forward"), (6, "ipv6/conf/all/forwarding")):
            wanted = any(vip.version == version for vip in self._network.vips)
            if wanted and _read(_PROC / switch) == "0":
                log.warning("this host does not forward IPv%d, so it reaches no client by it: sysctl -w net.%s=1",
                            version, switch.replace("/", "."))

    # Parts that a node needs.

    def _wanted(self) -> Iterator[Part]:
        name, tun = self._node.device, self._tun
        for address in self._node.address:
            yield Part("addr", {"index": tun, "address": address, "prefixlen": bits_of(address),
                                "family": family_of(address)}, False, f"address {address} on {name}")
        yield from self._needs.parts(self._network, self._name, tun)

    def _by_device(self, parts: list[Part]) -> list[Part]:
        """The parts with the index of the TUN device, which changes when the device is made again."""
        return [part._replace(arguments=part.arguments | {"oif": self._tun}) if "oif" in part.arguments else part
                for part in parts]

    def _set(self, ip: IPRoute, part: Part) -> None:
        if part.what == "route" and not part.stays:
            _add(ip, part, "replace")  # an old route of the same place may be in the way
        else:
            self._set_again(ip, part)

    def _set_again(self, ip: IPRoute, part: Part) -> bool:
        """Add a part; False when it is there already. A part that was there before the daemon is not its to remove."""
        if not _add(ip, part):
            return False
        if part.stays and part.entry not in self._ours:
            self._ours.append(part.entry)
            self._journal.write(self._ours)
        return True

    # Parts that a killed daemon has left, and the end.

    def _adopt(self, ip: IPRoute) -> None:
        """Take over the parts that an earlier daemon left, and remove the unwanted parts among them."""
        wanted = [part.entry for part in self._parts]
        left = [entry for entry in self._journal.read() if entry not in self._ours]
        for entry in left:
            if entry not in wanted:
                _remove(ip, entry)
        self._ours += [entry for entry in left if entry in wanted]
        if left:
            self._journal.write(self._ours)

    def undo(self) -> None:
        """Remove the parts that were added and do not go with the device."""
        if not self._ours:
            return
        with IPRoute() as ip:
            while self._ours:
                _remove(ip, self._ours.pop())
        self._journal.write([])

    # Parts that are lost later.

    def concerns(self, event: Event) -> bool:
        """True when an event may mean that a part of the set-up was lost or replaced."""
        if event.kind in (netlink.NEW_LINK, netlink.DEL_LINK):
            # The kernel removes a route by a gateway when its interface goes down, and sends no other event for that.
            return event.interface in (self._tun, LOOPBACK) or any("gateway" in part.arguments for part in self._parts)
        if event.kind == netlink.DEL_ADDRESS:
            return event.interface in (self._tun, LOOPBACK)
        if event.kind == netlink.NEW_NETCONF:
            return event.interface == self._tun
        if event.kind == netlink.DEL_RULE:
            return any(part.what == "rule" for part in self._parts)
        if event.kind == netlink.DEL_ROUTE:
            return any(_is_place_of(part, event) for part in self._parts)
        return bool(self.rivals(event))

    def rivals(self, event: Event) -> set[str]:
        """The texts of our routes that a foreign route replaces, by an event."""
        if event.kind != netlink.NEW_ROUTE or event.interface == self._tun:
            return set()
        # A route with another metric (a last resort, for example) does not replace ours.
        return {part.text for part in self._parts if _is_place_of(part, event) and not part.stays
                and event.metric == _METRICS[part.arguments["family"]]}

    def check(self, rivals: Collection[str] = (), *, unseen: bool = False) -> Iterator[str]:
        """Check each part, a part in each step, and set up lost parts again.

        Each step yields the text of the part that it has set up, empty if it was there.

        Args:
            rivals: texts of our routes that foreign routes have replaced: they are put back.
            unseen: events were lost, so there may be more such routes.

        """
        if not (self._parts or self._leaving):
            return
        with IPRoute() as ip:
            is_new, self._is_new = self._is_new, False
            try:
                if is_new:
                    self._kept = self._by_device(self._kept)
                    self._parts = [*self._wanted(), *self._kept]
                    self._device(ip)
                for text in self._check_device(ip):
                    yield self._count(text)
            except (NetlinkError, OSError) as error:
                self._is_new = is_new  # the next check tries again
                self.missing = {self._device_text: _reason(error)}
                if not (isinstance(error, NetlinkError) and error.code in _GONE):
                    log.error("%s", self.problem)
                return  # the pump makes a lost device anew, and then sets up the rest
            yield from self._take_leaving_away(ip)
            for part in list(self._parts):
                if part not in self._parts:  # a reload came between two steps
                    continue
                try:
                    text = self._check_part(ip, part, rivals, is_new=is_new, unseen=unseen)
                    self.missing.pop(part.text, None)
                except Exception as error:  # an error in atmdepot itself, too, must not end the daemon
                    text = ""
                    self._note(part, "is lost and cannot be set up again", error, is_told=part.text in self.missing)
                yield text
        # What a reload, or a device that was made again, has put there between two steps stays.
        texts = {*(part.text for part in self._parts), *map(_removal, self._leaving),
                 *([self._device_text] if self._is_new else [])}
        self.missing = {text: why for text, why in self.missing.items() if text in texts} | self._fault

    def _check_part(
        self, ip: IPRoute, part: Part, rivals: Collection[str], *, is_new: bool, unseen: bool,
    ) -> str:
        """Set a part up again if it was lost; return its text then, else nothing."""
        if part.text in self._unset:  # it may look as if it were there: what it comes in place of
            self._set_in_place(ip, part)
            self.restored += 1
            log.warning("%s is set up now", part.text)
            return part.text
        if is_new and not part.stays:
            self._set(ip, part)
            return ""
        lost = self._set_again(ip, part)
        # A route that is "there" may be a foreign route in the place of ours.
        if not lost and part.what == "route" and not part.stays and (unseen or part.text in rivals):
            _add(ip, part, "replace")
            lost = part.text in rivals
        return self._count(part.text if lost else "")

    def _count(self, text: str) -> str:
        if text:
            self.restored += 1
            log.warning("%s was lost; it is set up again", text)
        return text

    def _check_device(self, ip: IPRoute) -> Iterator[str]:
        name, tun = self._node.device, self._tun
        link = ip.link("get", index=tun)[0]
        attributes = dict(link["attrs"])
        if attributes.get("IFLA_IFNAME", name) != name:
            ip.link("set", index=tun, state="down")  # before Linux 6.2, a device that is up cannot be renamed
            ip.link("set", index=tun, ifname=name)
            link["flags"] &= ~_IFF_UP
            yield f"name {name} (it was {attributes['IFLA_IFNAME']})"
        if attributes.get("IFLA_MTU", self._node.mtu) != self._node.mtu:
            ip.link("set", index=tun, mtu=self._node.mtu)
            yield f"MTU {self._node.mtu} of {name} (it was {attributes['IFLA_MTU']})"
        if not link["flags"] & _IFF_UP:
            ip.link("set", index=tun, state="up")
            yield f"state up of {name}"
        if _read(self._rp_filter) not in ("", "0"):
            _write(self._rp_filter, "0")
            yield f"rp_filter 0 of {name}"


def _is_place_of(part: Part, event: Event) -> bool:
    """True when a route's event has the table and destination of a route of ours."""
    if part.what != "route" or part.arguments.get("table", _MAIN_TABLE) != event.table:
        return False
    destination = part.arguments["dst"]
    if destination == "default":
        return not event.bits
    address, _, bits = destination.partition("/")
    return (event.bits, event.destination) == (int(bits), socket.inet_pton(part.arguments["family"], address))


def _add(ip: IPRoute, part: Part, verb: str = "add") -> bool:
    """Add a part; False when it was there already."""
    if part.what in _OTHER_KINDS:
        return bool(_OTHER_KINDS[part.what].add(**part.arguments))
    try:
        getattr(ip, part.what)(verb, **part.arguments)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
        return False
    return True


def _remove(ip: IPRoute, entry: Entry) -> None:
    try:
        if entry.what in _OTHER_KINDS:
            _OTHER_KINDS[entry.what].remove(**entry.arguments)
            return
        if entry.what not in _REQUESTS:
            raise ValueError(f"{entry.what!r} is none of {', '.join((*_REQUESTS, *_OTHER_KINDS))}")
        getattr(ip, entry.what)("del", **entry.arguments)
    except (NetlinkError, OSError) as error:
        if not (isinstance(error, NetlinkError) and error.code in _NOT_THERE):
            log.warning("left behind: %s", error)
    except Exception as error:  # the arguments of a damaged journal may be anything, and must not keep the daemon down
        log.warning("left behind: %s with %.200s: no part that can be removed: %r", entry.what, entry.arguments, error)


def _removal(part: Part) -> str:
    return f"the removal of {part.text}"


def _reason(error: Exception) -> str:
    if not isinstance(error, _FAILURES):
        return f"an error in atmdepot itself, which the log has: {type(error).__name__}: {error}"
    return str(error.args[-1] if error.args else error)


def _write(path: Path, value: str) -> None:
    """Set a switch of the kernel, if the kernel has it; in containers, whose /proc/sys is read-only, it may be set."""
    before = _read(path)
    if before == value:
        return
    try:
        path.write_text(value)
    except OSError as error:
        log.info("%s%s: %s", path, f" stays {before}, and not {value}" if before else "", error.strerror)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
