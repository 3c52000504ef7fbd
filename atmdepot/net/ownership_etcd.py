"""Ownership by etcd: a key that goes with a lease. Who has made it is active; its revision is the term.

So one depot is active at most, as long as etcd is there, and no LAN has to be common to the depots. Without etcd roles
stay as they are. The guard revokes the lease when the depot hangs or dies, so others need not wait for its end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from atmdepot.depot.role import Phase, Role
from atmdepot.depot.roles import FIT_ACTIVE, IN_SYNC, JOINS, LAST_RESORT, UNFIT
from atmdepot.net.etcd import EtcdClient, EtcdGone
from atmdepot.net.guarding import Guarding
from atmdepot.net.ownership import REPEAT, Engine

if TYPE_CHECKING:
    from atmdepot.net.etcd import Holder
    from atmdepot.net.gateway import Gateway
    from atmdepot.net.ownership import Seat

_LOOK = 1.0
"""Seconds after which the key is looked at even if no change was told."""
_LEAVES_FOR = 2.0
"""Seconds for which a depot that has given the key up leaves it to the others."""
_REST = 0.5
"""Seconds until etcd is tried again."""


class LeaseLost(Exception):
    """The lease has ended: the depot did not run, or the guard has revoked it."""


def wait_before(fitness: int) -> float | None:
    """Seconds for which a depot leaves a free key to those that are fitter; None when it must not take it."""
    if fitness <= UNFIT:
        return None
    if fitness >= FIT_ACTIVE:
        return 0.0
    if fitness > JOINS:
        return max(0, IN_SYNC - fitness) * 0.05
    return 0.5 + (JOINS - fitness) * 0.1 if fitness > LAST_RESORT else 3.0


class Etcd(Engine):
    """Has etcd decide."""

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        self._client = EtcdClient(seat.settings.etcd)
        self.key = f"/atmdepot/{seat.network}/{seat.name}/active"
        self.guard: Guarding | None = None
        self._gateway: Gateway | None = None
        self._announced = self._gave_up_at = -math.inf

    async def run(self) -> None:
        """Decide until cancelled. A guard that has ended gave everything up: it is started again."""
        self._gateway = await self.gateway()
        while True:
            guard = self.guard = await self.guarding(lambda: Guarding(
                self.seat.hangs_after, addresses=[] if self._gateway is None else self._gateway.plan()))
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(guard.beat)
                    nursery.start_soon(self._decide, guard)
                    while await guard.told() is not None:  # it has taken the address away
                        self._lose("this depot hung")
                    nursery.cancel_scope.cancel()
                self._lose("its guard has ended")
            finally:
                await guard.end()

    def _lose(self, why: str) -> None:
        self.revoked(why)
        self._place()

    async def _decide(self, guard: Guarding) -> None:
        while True:
            rest = _REST
            try:
                await self._with_lease(guard)
            except* EtcdGone as gone:
                self.trouble(f"roles stay as they are: {gone.exceptions[0]}")
            except* LeaseLost:
                rest = 0.0  # whether another depot has the key now, the key tells
            self._place()  # what could not be set or taken away
            with trio.move_on_after(rest):
                while True:
                    await self.changed()
                    self._place()  # a higher term may be heard without etcd

    async def _with_lease(self, guard: Guarding) -> None:
        """Take part with a lease until it, or etcd, is lost."""
        lease, ttl = await self._client.grant(max(1, math.ceil(self.seat.settings.silence * 3 / 1e9)))
        self.trouble("")
        guard.say(f"> {self._client.server.host} {self._client.server.port} {self._client.revocation(lease).hex()}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep, lease, ttl / 3)
            nursery.start_soon(self._watch)
            while True:
                wait = await self._look(lease)
                with trio.move_on_after(wait):
                    await self.changed()

    async def _keep(self, lease: int, pause: float) -> None:
        while True:
            await trio.sleep(pause)
            if not await self._client.keep_alive(lease):
                raise LeaseLost

    async def _watch(self) -> None:
        async for _ in self._client.watch(self.key):
            self._wake()

    async def _look(self, lease: int) -> float:
        """Look at the key and act on it; return the seconds until the next look."""
        holder = await self._client.holder(self.key)
        if holder is None:
            return await self._may_take(lease)
        if holder.value != self.seat.node:
            self.revoked(f"{holder.value} has etcd's key")
            if self.roles.phase is Phase.TAKING:  # by force: nobody has handed over
                await self._take(lease, holder.revision)
        elif holder.lease != lease:  # of this depot's earlier life, or lease
            await self._take(lease, holder.revision)
        else:
            await self._have(holder)
        self._place()
        return _LOOK

    async def _may_take(self, lease: int) -> float:
        """Take a free key when no fitter depot has had time to."""
        if self.roles.role is Role.HANDING_OVER or (self.roles.is_active and not self.roles.owns):
            self._lose("etcd's key is gone")
        wait = wait_before(self.roles.fitness(self.seat.clock()))
        if wait is None:
            self._lose("this depot is unfit")
            return _LOOK
        if self.roles.phase is not Phase.TAKING:  # what it has handed over is another's to take
            wait = max(wait, self._gave_up_at + _LEAVES_FOR - trio.current_time())
        await trio.sleep(wait)
        await self._take(lease, 0)
        self._place()
        return _LOOK

    async def _take(self, lease: int, over: int) -> None:
        revision = await self._client.put(self.key, self.seat.node, lease, over)
        if revision is not None:
            self.granted(revision, "etcd's key was taken")

    async def _have(self, holder: Holder) -> None:
        """Keep the key, or give it up: it was handed over, or this depot is unfit and another is not."""
        handed_over = self.roles.role is Role.HANDING_OVER and self.roles.has_flushed
        if handed_over or self.roles.fitness(self.seat.clock()) <= UNFIT:
            self._gave_up_at = trio.current_time()
            self._lose("it was handed over" if handed_over else "this depot is unfit")
            await self._client.delete(self.key, holder.revision)
        elif not self.roles.owns:  # the guard has taken the address away, but the lease has lasted
            self.granted(holder.revision, "etcd's key is this depot's")

    def _place(self) -> None:
        """Have the addresses here while this depot is active, and tell neighbours now and then."""
        gateway = self._gateway
        if gateway is None:
            return
        if gateway.is_to_be_set(self.roles.is_active) or (
                gateway.is_here and trio.current_time() - self._announced > REPEAT):
            gateway.set(self.roles.is_active)
            self._announced = trio.current_time()
            self.trouble(gateway.trouble)
