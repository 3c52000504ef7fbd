"""Reloads: a running node takes over an edited table."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from atmdepot.config.changes import changes, plain, told
from atmdepot.config.reading import load
from atmdepot.config.server_gateways import moving_of
from atmdepot.errors import AtmdepotError
from atmdepot.net.event_log import about
from atmdepot.net.kinds import kind_of
from atmdepot.net.ports import renew_ports
from atmdepot.net.surroundings import given_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atmdepot.config.model import Network
    from atmdepot.net.pump import Pump

_LIVE = ("servers", "services", "sessions", "probing", "connects", "description", "lab")
"""The parts of a table that may change while sessions go on; a kind of node may have more (`Kind.live`)."""

_BEARERS, _ADDRESSES = "the bearers of its servers", "the service addresses"
_MOVING = "the addresses for its servers that move with the active depot"
_PARTS = {_BEARERS: "servers", _ADDRESSES: "services", _MOVING: "servers"}
"""The parts of a table in which these stand."""

_SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread that checks a table gives way to the data path; Python's own 5 ms would delay it."""

log = logging.getLogger("atmdepot")


class Administration:
    """Reloads of a running node."""

    def __init__(self, pump: Pump, table: Path) -> None:
        """Administer a node that was started from the VC table at `table`."""
        self._pump = pump
        self.table = table
        self._called = given_table(table)
        self._reloading = trio.Lock()
        self._signals_waiting = 0

    # A reload reads and checks the table first, in a thread if the data path runs, and takes it over at the end.

    def reload(self) -> str:
        """Read the table again and take over the parts that may change.

        Raises AtmdepotError, and changes no part, when the table has errors or differs in a part that must not change.
        """
        with self._told_of_faults():
            return self._take_over(self._read())

    async def reload_in_thread(self, *, dry_run: bool = False) -> str:
        """Reload while the data path goes on: a thread reads and checks the table. Reloads queue up.

        Returns what changed, or with `dry_run`, which takes nothing over, what would.
        """
        async with self._reloading:
            with self._told_of_faults():
                with _giving_way():
                    # The check changes no state, so a daemon that stops need not wait for it.
                    network = await trio.to_thread.run_sync(self._read, abandon_on_cancel=True)
                return self._would_change(network) if dry_run else self._take_over(network)

    async def reload_for_client(self, *, dry_run: bool) -> str:
        """Reload; a refusal is logged and raised: who reads the log is not always who has asked."""
        try:
            return await self.reload_in_thread(dry_run=dry_run)
        except AtmdepotError as error:
            if not dry_run:
                _log_refusal(self._pump.node.name, error)
            raise

    def reload_on_signal(self) -> None:
        """Reload on SIGHUP; the log has the result, since no client waits for an answer."""
        with _logged(self._pump.node.name):
            self.reload()

    async def reload_on_signal_in_thread(self) -> None:
        """Reload on SIGHUP in a thread; signals during a reload lead to a single further reload."""
        if self._signals_waiting > 1:  # a reload runs and another waits: that will read the latest table
            return
        self._signals_waiting += 1
        try:
            with _logged(self._pump.node.name):
                await self.reload_in_thread()
        finally:
            self._signals_waiting -= 1

    def _read(self) -> Network:
        """The table in its present state, if it may be taken over; safe in a thread: it changes no state."""
        network = load(self.table)
        old = self._pump.node.network
        live = (*_LIVE, *kind_of(self._pump.node).live)
        parts = zip(network.__struct_encode_fields__, network.__struct_fields__, strict=True)
        fixed = [part for part, attribute in parts
                 if part not in live and plain(getattr(network, attribute)) != plain(getattr(old, attribute))]
        name = self._pump.node.name
        if name in network.depots and not set(network.bearers_of(name)) <= set(old.bearers_of(name)):
            fixed.append(_BEARERS)
        if name in network.depots and moving_of(network, name) != moving_of(old, name):
            fixed.append(_MOVING)
        if network.vips != old.vips:  # the routes on the hosts were set up for the old addresses
            fixed.append(_ADDRESSES)
        if fixed:
            keys = {*fixed, *(part for words, part in _PARTS.items() if words in fixed)}
            values = [change for change in changes(old, network) if re.split(r"[.:]", change)[0] in keys]
            raise AtmdepotError(f"{self._called}: {', '.join(fixed)} changed, which takes a restart; "
                                f"nothing was taken over ({told(values)})")
        return network

    def _take_over(self, network: Network) -> str:
        node = self._pump.node
        found = changes(node.network, network)
        if found:  # else nothing is set up anew, such as the link to another depot, which compares the tables
            self._renew(network)
        done = f"taken over by {node.name}: {told(found)}" if found else f"{node.name}: nothing changed"
        log.log(logging.WARNING if found else logging.INFO, "%s: %s", self._called, done,
                extra=about("reloaded", node.name, changes=len(found)))
        return f"{self._called}: {done}"

    def _renew(self, network: Network) -> None:
        """Have the ports, the node and the host take over a table: the first two all of it, or nothing of it."""
        node, links = self._pump.node, self._pump.links
        before = node.network
        renew_ports(links, node, before, network)
        try:
            node.reconfigure(network, self._pump.clock())
        except BaseException:
            renew_ports(links, node, network, before)
            raise
        if self._pump.host is not None:
            self._pump.host.take_over(network)

    def _would_change(self, network: Network) -> str:
        node = self._pump.node
        found = changes(node.network, network)
        return f"{self._called}: " + (f"would be taken over by {node.name}: {told(found)}" if found else
                                    f"{node.name}: nothing changed")

    @contextmanager
    def _told_of_faults(self) -> Iterator[None]:
        """Keep the daemon running through a fault of our own in a reload; log it and raise AtmdepotError."""
        try:
            yield
        except AtmdepotError:
            raise
        except Exception as error:
            log.exception("%s: an error in atmdepot itself; nothing was taken over", self.table)
            raise AtmdepotError(f"{self.table}: nothing was taken over, by an error in atmdepot itself, which the log "
                                f"has: {type(error).__name__}: {error}") from error


@contextmanager
def _logged(node: str) -> Iterator[None]:
    try:
        yield
    except AtmdepotError as error:
        _log_refusal(node, error)


def _log_refusal(node: str, error: AtmdepotError) -> None:
    log.error("%s", error, extra=about("reload-refused", node))


@contextmanager
def _giving_way() -> Iterator[None]:
    """Have a computing thread give way to the loop's thread soon."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_INTERVAL))  # the daemon may have set a shorter interval
    try:
        yield
    finally:
        sys.setswitchinterval(before)
