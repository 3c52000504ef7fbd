"""A kernel's links, addresses, routes and rules, behind the methods of pyroute2's IPRoute that a daemon uses."""

from __future__ import annotations

import errno
from typing import Any, Self

from pyroute2 import NetlinkError

UP, MULTICAST = 0x1, 0x1000
LOOPBACK, TUN = 1, 7


class Link:
    """An interface."""

    def __init__(self, name: str, mtu: int = 1500) -> None:
        self.name, self.mtu, self.flags = name, mtu, 0


class Kernel:
    """A host's set-up; each call gives itself, as a netlink socket to it."""

    def __init__(self) -> None:
        self.links = {LOOPBACK: Link("lo", 65_536), TUN: Link("atm0")}
        self.things: dict[str, dict[tuple[object, ...], dict[str, Any]]] = {"addr": {}, "route": {}, "rule": {}}
        self.refused: dict[str, int] = {}
        self.asked = 0

    def __call__(self, **_: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, what: str) -> Any:
        if what not in self.things:
            raise AttributeError(what)
        return lambda verb, **arguments: self._change(what, verb, arguments)

    def link_lookup(self, ifname: str) -> list[int]:
        return [index for index, link in self.links.items() if link.name == ifname]

    def link(self, verb: str, index: int, **settings: Any) -> list[dict[str, Any]]:
        self.asked += 1
        link = self.links.get(index)
        if link is None:
            raise NetlinkError(errno.ENODEV, "No such device")
        if verb == "get":
            return [{"flags": link.flags, "attrs": [("IFLA_IFNAME", link.name), ("IFLA_MTU", link.mtu)]}]
        link.mtu = settings.get("mtu", link.mtu)
        if settings.get("state") == "up":
            link.flags |= UP
        if settings.get("state") == "down":
            self.take_down(index)
        if "ifname" in settings:
            if link.flags & UP:
                raise NetlinkError(errno.EBUSY, "Device or resource busy")
            link.name = settings["ifname"]
        return []

    def take_down(self, index: int) -> None:
        """Set an interface down as the kernel does: its routes are gone."""
        self.links[index].flags &= ~UP
        self.drop("route", oif=index)

    def drop(self, what: str, **arguments: object) -> int:
        """Somebody removes all with these arguments; how many."""
        gone = [key for key, value in self.things[what].items() if arguments.items() <= value.items()]
        for key in gone:
            del self.things[what][key]
        return len(gone)

    def state(self) -> dict[str, list[str]]:
        """All that is there, to be compared."""
        return {what: sorted(str(sorted(value.items(), key=str)) for value in there.values())
                for what, there in self.things.items()}

    def _change(self, what: str, verb: str, arguments: dict[str, Any]) -> None:
        self.asked += 1
        if what in self.refused:
            raise NetlinkError(self.refused[what], "refused")
        out = arguments.get("oif", arguments.get("index"))
        if what == "route" and out is not None and verb != "del" and (
                out not in self.links or not self.links[out].flags & UP):
            raise NetlinkError(errno.ENETDOWN, "Network is down")
        arguments = {key: str(value) if key == "address" else value for key, value in arguments.items()}
        names = {"addr": ("index", "address"), "route": ("dst", "table", "family"), "rule": ("src", "table")}[what]
        key = tuple(arguments.get(name) for name in names)
        there = self.things[what]
        if verb == "del":
            if there.pop(key, None) is None:
                raise NetlinkError(errno.ESRCH, "No such process")
        elif verb == "add" and key in there:
            raise NetlinkError(errno.EEXIST, "File exists")
        else:
            there[key] = arguments
