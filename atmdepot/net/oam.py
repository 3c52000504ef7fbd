"""OAM on request: loopbacks to the far end or to each node of the route, and the continuity check on and off.

`{"oam": {"what": "ping", "place": "web1"}}` is answered by `{"oam": {...}}`, and then by `{"echo": {...}}` for each
loopback, until all have ended or the client hangs up. `continuity` is answered by `{"done": TEXT}`.
"""

from __future__ import annotations

from collections import deque
from itertools import count, islice, repeat
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec
import trio
from msgspec import Meta

from atmdepot.atm.activation import Outcome
from atmdepot.atm.loopback import WAIT
from atmdepot.config.locations import location_of
from atmdepot.errors import AtmdepotError
from atmdepot.net.kinds import agent_of
from atmdepot.wire.oam import OamFlow
from atmdepot.wire.oam_messages import END_POINT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.atm.loopback import Echo
    from atmdepot.bearer.oam import NodeOam
    from atmdepot.bearer.oam_flow import Flow, OamLink
    from atmdepot.bearer.vp_oam import VpOam
    from atmdepot.net.pump import Pump

_GRAIN = 0.01
"""Seconds between two looks for answers; a round-trip time is taken on the data path, to the nanosecond."""
_LATE = 2 * WAIT / 1e9
"""Seconds after the last question by which all loopbacks have ended, a busy data path included."""
_MOST_VCI = 65_535
_LEAST_INTERVAL, _LONGEST_INTERVAL = 10_000_000, 3600 * 10**9


class OamRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request; `place` is a VP's name, or a VC as `VPI/VCI` or `LINK:VPI/VCI`.

    `count` loopbacks (None: until the client hangs up) go `interval` ns apart; `on` is for `continuity`. `protection`
    asks along the second route of a protected VP.
    """

    what: Literal["ping", "trace", "continuity"]
    place: str
    count: Annotated[int, Meta(ge=1, le=10**6)] | None = None
    interval: Annotated[int, Meta(ge=_LEAST_INTERVAL, le=_LONGEST_INTERVAL)] = 10**9
    segment: bool = False
    protection: bool = False
    on: bool = True


class _Target(NamedTuple):
    """A node that is asked, and its location."""

    node: str
    location: bytes


class _Place(NamedTuple):
    """A flow on which loopbacks go: its name for people, and the route of its VP."""

    name: str
    link: OamLink
    flow: Flow
    vp: VpOam | None


async def stream_oam(stream: trio.SocketStream, pump: Pump, request: OamRequest) -> None:
    """Do what is asked, and send a line for each result; raise AtmdepotError for what cannot be done."""
    oam = agent_of(pump.node).oam()
    if oam is None:
        raise AtmdepotError(f"{pump.node.name} is no end of a VP: ask a node that is, with --node; links of Frame "
                            "Relay and Ethernet have no OAM cells (`atmdepot show lmi`, `atmdepot show neighbours`)")
    if request.what == "continuity":
        await _send(stream, {"done": await _continuity(pump, oam, request)})
        return
    place = _find(oam, request)
    targets: Iterator[_Target]
    if request.what == "ping":
        far = place.vp.far if place.vp is not None else "the end of the VC"
        targets = repeat(_Target(far, END_POINT)) if request.count is None else repeat(
            _Target(far, END_POINT), request.count)
        interval = request.interval / 1e9
    else:
        targets, interval = iter(_hops(pump, place)), 0.0
    await _send(stream, {"oam": {"name": place.name, "flow": str(place.flow.flow), "node": pump.node.name}})
    await _loop(stream, pump, place, targets, interval)


async def _loop(
    stream: trio.SocketStream, pump: Pump, place: _Place, targets: Iterator[_Target], interval: float,
) -> None:
    """Ask target after target, and send the answers as they come.

    Raises AtmdepotError when a VC's flow ended here with loopbacks under way, whose end nobody tells then.
    """
    echoes: deque[dict[str, Any]] = deque()
    asked, waiting, due = count(1), 0, trio.current_time()
    last = due
    target = next(targets, None)
    while target is not None or waiting:
        if target is not None and trio.current_time() >= due:
            _ask(pump, place, target, next(asked), echoes)
            target, due, waiting = next(targets, None), due + interval, waiting + 1
            last = trio.current_time()
        while echoes:
            await _send(stream, {"echo": echoes.popleft()})
            waiting -= 1
        if target is None and waiting and trio.current_time() > last + _LATE:
            raise AtmdepotError(f"{place.name}: {waiting} loopbacks have no end, since the VC was closed: ask again")
        if target is None or trio.current_time() < due:
            await trio.sleep(_GRAIN)


def _ask(pump: Pump, place: _Place, target: _Target, number: int, echoes: deque[dict[str, Any]]) -> None:
    """Send a loopback at once."""
    def done(echo: Echo) -> None:
        echoes.append({"number": number, "from": target.node, "tag": echo.tag, "round_trip": echo.round_trip})

    now = pump.clock()
    try:
        place.flow.point.ping(now, done, target.location)
    except ValueError as error:
        raise AtmdepotError(str(error)) from None
    place.link.flush(place.flow)
    pump.write_out(now)


async def _continuity(pump: Pump, oam: NodeOam, request: OamRequest) -> str:
    """Have the continuity check of a VP begin or end at both ends; raise AtmdepotError when the far end does not."""
    vp = oam.vps.get(request.place)
    if vp is None:
        raise AtmdepotError(_unknown(oam, request.place))
    outcomes: list[Outcome] = []
    try:
        vp.check_continuity(request.on, pump.clock(), outcomes.append)
    except ValueError as error:
        raise AtmdepotError(str(error)) from None
    pump.write_out(pump.clock())
    while not outcomes:  # noqa: ASYNC110 - the data path tells the outcome, outside of trio
        await trio.sleep(_GRAIN)
    if outcomes[0] is not Outcome.CONFIRMED:
        raise AtmdepotError(f"VP {vp.name}: {vp.far} gave {outcomes[0]}" if outcomes[0] is Outcome.NO_ANSWER
                            else f"VP {vp.name}: {vp.far} denied it")
    return f"VP {vp.name}: continuity is {'checked' if request.on else 'checked no more'} by both ends"


def _find(oam: NodeOam, request: OamRequest) -> _Place:
    """The flow of a VP's name, or of a VC as `[LINK:]VPI/VCI`; raise AtmdepotError for no open connection."""
    place, segment = request.place, request.segment
    if request.protection:
        vp = oam.second.get(place)
        if vp is None:
            raise AtmdepotError(f"no protected VP \"{place[:64]}\" ends at {oam.node}: it has "
                                f"{', '.join(islice(oam.second, 20)) or 'none'}")
    else:
        vp = oam.vps.get(place)
    if vp is not None:
        route = f", its {'protection' if vp.is_second else 'working'} route" if vp.name in oam.second else ""
        return _Place(f"VP {vp.name} (VPI {vp.vpi} on {vp.link.adaptation.name}{route})", vp.link,
                      vp.segment if segment else vp.end, vp)
    link_name, _, numbers = place.rpartition(":")
    vpi, slash, vci = numbers.partition("/")
    if not (numbers.isascii() and slash and vpi.isdecimal() and vci.isdecimal() and max(len(vpi), len(vci)) <= 5):
        raise AtmdepotError(_unknown(oam, place))
    kind = OamFlow.F5_SEGMENT if segment else OamFlow.F5_END_TO_END
    found = [(link, flow) for name, link in oam.links.items() if link_name in ("", name) and int(vci) <= _MOST_VCI
             if (flow := link.flow(kind, int(vpi), int(vci))) is not None]
    if len(found) != 1:
        raise AtmdepotError(f"VC {vpi}/{vci} is open on several links: write LINK:{vpi}/{vci}" if found
                            else f"no VC {place} is open at {oam.node}: see `atmdepot show vcs`")
    link, flow = found[0]
    return _Place(f"VC {vpi}/{vci} on {link.adaptation.name}", link, flow, link.vps.get(int(vpi)))


def _unknown(oam: NodeOam, place: str) -> str:
    return f"no VP \"{place[:64]}\" ends at {oam.node}: its VPs are {', '.join(islice(oam.vps, 20))}"


def _hops(pump: Pump, place: _Place) -> list[_Target]:
    """The nodes of the route behind this node, the far end last; raise AtmdepotError for a VC without a route."""
    if place.vp is None:
        raise AtmdepotError(f"{place.name} belongs to no VP of the VC table, so its route is not known")
    network, own = pump.node.network, pump.node.name
    routes = network.routes.protection if place.vp.is_second else network.routes.working
    on_the_way = routes[place.vp.name].onward(own)
    return [*(_Target(node, location_of(network, node)) for node in on_the_way[:-1]),
            _Target(on_the_way[-1], END_POINT)]


async def _send(stream: trio.SocketStream, line: dict[str, Any]) -> None:
    await stream.send_all(msgspec.json.encode(line) + b"\n")
