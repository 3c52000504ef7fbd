"""The common base of edge nodes: the depots that one hears, the answers to their recalls, and its reports to them.

How packets get to a depot, and which flow has which channel, is of the edge nodes of each bearer: `node` and
`multihomed` for ATM, `relay` for Frame Relay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.fragments import FragmentMap
from atmdepot.atm.timers import TimerWheel
from atmdepot.drops import DropReason
from atmdepot.edge.protection import Following
from atmdepot.edge.recall import Answer
from atmdepot.node.node import Node
from atmdepot.wire.announcement import Announcement, OtherBuild, Recall, read
from atmdepot.wire.statistics import ServerState, Statistics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from atmdepot.atm.timers import Expiring
    from atmdepot.config.model import Network
    from atmdepot.edge.protection import DepotWay, HeardDepot
    from atmdepot.node.proxy_counts import ProxyCounts
    from atmdepot.wire.flows import FlowKey


class EdgeBase(Node):
    """The parts of an edge node that do not depend on its bearer."""

    def __init__(self, network: Network, node: str) -> None:
        """Make an edge node of a VC table that follows no depot yet."""
        Node.__init__(self, network, node)  # not by super(), which the compiled module does not have
        self.ways: list[Any] = []
        """The ways to depots (`DepotWay`), those of a set in the order of its depots."""
        self.followings: dict[str, Following] = {}
        """The sets of these depots, by name."""
        self.flows: dict[FlowKey, Any] = {}
        self.fragments: FragmentMap[Any] = FragmentMap(self.drops)
        self.server_state: ServerState | None = None  # as of the last report; None before the first
        self.proxy: ProxyCounts | None = None  # of its server, where that is a caching proxy
        self.tries_not_made = 0  # of connections to the server, which this host could not make
        self._reported: tuple[float, int, int] = 0.0, 1, 0  # load, cores and time to connect, as of the last report
        self._sequence = 0
        self._answers: dict[DepotWay, Answer] = {}  # to recalls, while they are told
        self._is_recalled = False
        self._wheel = TimerWheel()

    def follow(self, network: Network, ways: Sequence[DepotWay]) -> None:
        """Take over the ways to depots, and follow the sets of these; each way gets its set."""
        self.ways = list(ways)
        for name in dict.fromkeys(way.of for way in ways):
            of, its = network.sets[name], [way for way in ways if way.of == name]
            self.followings[name] = Following(its, int(of.silence), is_bridged=of.standby == "hot")
            for way in its:
                way.following = self.followings[name]

    def _take_over(self, network: Network) -> None:
        """Take over the values of a VC table that may change while flows go on."""
        # As long as the depot can hold the session: idle in the primary table, then 2 MSL in the secondary table.
        self._lifetime = network.sessions.idle + network.sessions.two_msl
        self._lifetime_unclaimed = network.sessions.two_msl
        self._most_flows = network.sessions.max_sessions
        self._is_recalled = any(network.sets[name].recall for name in self.followings)
        for name, following in self.followings.items():
            following.silence = int(network.sets[name].silence)
        self.network = network

    # Announcements of depots, and their questions.

    def _message_from_depot(self, way: DepotWay, octets: bytes, now: int) -> None:
        """Hear a depot announce itself, or answer its recall."""
        told, wrong = None, DropReason.BAD_ANNOUNCEMENT
        try:
            told = read(octets)
        except OtherBuild:
            wrong = DropReason.OTHER_BUILD
        except ValueError:
            pass
        if isinstance(told, Announcement) and (told.of, told.node) == (way.of, way.depot):
            way.following.hear(way, told, now)
            self._tell_news(now)
        elif isinstance(told, Recall):
            if way in self._answers:
                self._answers[way].give_up()
            self._answers[way] = Answer(told, way, self._wheel, now)
            while way in self._answers and self._answers[way].due <= now:
                self._go_on_with_answers(now)
        else:
            way.count(wrong, octets)

    def _go_on_with_answers(self, now: int) -> None:
        """Tell a slice of each answer that is due."""
        for way, answer in list(self._answers.items()):
            if answer.due > now:
                continue
            items = answer.some(now)
            if items is None:
                answer.end()
                del self._answers[way]
                continue
            for item in items:
                channel = self._channel_of(item, way)
                if channel:
                    flow: Any = item  # what has a channel is a flow
                    answer.tell(flow.key, channel, max(0, now - flow.deadline + self._lifetime), flow.is_half_open)
        self.urgent = bool(self._answers)

    def _channel_of(self, item: Expiring, way: DepotWay) -> int:
        """The number by which a depot's set knows the channel of a flow that goes on; 0 for what is none of its."""
        raise NotImplementedError

    def heard_depots(self, now: int) -> list[HeardDepot]:
        """The depots to which the node has a way, as it has heard them, set by set."""
        return [heard for following in self.followings.values() for heard in following.heard(now)]

    # Reports.

    def send_statistics(self, server: ServerState, load: float, cores: int, connect_time: int, now: int) -> None:
        """Report to each depot; `load` as the system has it, `connect_time` to the server in ns."""
        self.server_state, self._reported = server, (load, cores, connect_time)
        self._send_statistics(server, now)

    def _tell_news(self, now: int) -> None:
        """Tell the depots of a set at once that another of them is followed, or none any more.

        By the next report they would know a second later. The server was not tried anew.
        """
        news = [following.has_news(now) for following in self.followings.values()]
        if any(news) and self.server_state is not None:
            self._send_statistics(ServerState.UNKNOWN, now)

    def _send_statistics(self, server: ServerState, now: int) -> None:
        load, cores, connect_time = self._reported
        self._sequence = (self._sequence + 1) % (1 << 32)
        for way in self.ways:
            following = way.following
            fillers, unassigned = way.filling()
            way.tell(Statistics(
                server, cores, self._sequence, len(self.flows), self.tx_packets, self.rx_packets, self.tx_octets,
                self.rx_octets, min(int(load * 1000), 0xFFFFFFFF), min(connect_time // 1000, 0xFFFFFFFF), now,
                fillers & 0xFFFF, unassigned & 0xFFFF, following.term, following.followed(now),
                None if self.proxy is None else self.proxy.figures()).pack())

    # In time.

    def handle_timer(self, now: int) -> None:
        """Expire what is idle in the timer wheel and held fragments; tell news and answers; then the ports' work."""
        for item in self._wheel.expired(now):
            self._expire(item)
        self.fragments.expire(now)
        self._tell_news(now)
        if self._answers:
            self._go_on_with_answers(now)
        for port in self._ports_by_number:
            port.handle_timer(now)

    def _expire(self, item: Expiring) -> None:
        """Forget an item of the wheel, and close its channel."""
        raise NotImplementedError

    def wheels(self) -> list[TimerWheel]:
        """The timer wheel of flows, and of channels without one."""
        return [self._wheel]

    def stood_still(self, span: int, now: int) -> None:
        """Note that the process did not run for `span` ns until now, so that no far end counts as silent."""
        for following in self.followings.values():
            following.stood_still(span, now)

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        times = (self._wheel.next_timer(), self.fragments.next_timer(),
                 *(answer.due for answer in self._answers.values()),
                 *(following.next_news() for following in self.followings.values()),
                 *(port.next_timer() for port in self._ports_by_number))
        return min((time for time in times if time is not None), default=None)
