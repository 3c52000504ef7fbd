"""A port of Frame Relay: packets to frames on a DLCI, and frames back to packets. Depot and edge node both use it.

Frames of one size cross the port together (`train_of`), so that the kernel cuts and joins them, as it does cells. The
packets of a TCP frame stay one on both ways. The port has no reassembly and no queue, except in front of a PVC with a
CIR, whose frames wait for their turn. Its LMI is a state machine of its own (`bearer/lmi.py`).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from atmdepot.bearer.base import NEVER, Path, PathCondition, Port, PortCounts, QueueCounts
from atmdepot.bearer.committed import Committed, Verdict
from atmdepot.bearer.lmi import LmiTimers, NetworkSide, UserSide
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.frame_relay import (
    ADDRESS_SIZE,
    BECN,
    DE,
    FECN,
    HEADER_SIZE,
    LMI_DLCI,
    NLPID_IPV4,
    NLPID_IPV6,
    UI,
    Address,
    FrameError,
    NlpidError,
    frames_of,
    header_of,
    parse_address,
    payload_of,
    train_of,
)
from atmdepot.wire.lmi import FULL, SINGLE, LmiError, parse_lmi
from atmdepot.wire.offload import coalesce, frame_of
from atmdepot.wire.packet import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atmdepot.bearer.lmi import LmiSide
    from atmdepot.config.model import Network
    from atmdepot.config.relay import Dlcis
    from atmdepot.wire.lmi import Message
    from atmdepot.wire.offload import PlainFrame

MOST_WAITING = 1000
"""Frames that wait for a PVC's CIR at most."""
MOST_HELD = 64 * 2**20
"""Octets that wait for the CIRs of a port's PVCs at most, but for a last frame."""
_MOST_TOGETHER, _MOST_OCTETS = 64, 65_000
"""Frames and octets that leave together: what a system call takes."""
# C numbers, where this is compiled.
_ADDRESS_SIZE, _HEADER_SIZE, _UI, _DE, _FECN, _BECN = ADDRESS_SIZE, HEADER_SIZE, UI, DE, FECN, BECN
_FLAGS = DE | FECN | BECN
_VERSIONS = {NLPID_IPV4: 4, NLPID_IPV6: 6}
_BARE_SIZE = ADDRESS_SIZE + 1
"""Octets in front of a report, which is no packet: address and control."""
_CISCO_LMI = 1023
_CISCO = "; the far end speaks Cisco's LMI: write `frame-relay lmi-type ansi` there"


_REASONS = (
    DropReason.NOT_THE_PEER, DropReason.WRONG_INTERFACE, DropReason.RX_OVERFLOW, DropReason.FRAME_NOT_SENT,
    DropReason.LOST_FRAME, DropReason.BAD_ADDRESS, DropReason.UNKNOWN_DLCI, DropReason.BAD_LMI, DropReason.ABOVE_BE,
    DropReason.INACTIVE_PVC, DropReason.CIR_QUEUE_FULL, DropReason.OVERSIZE, DropReason.UNKNOWN_ENCAPSULATION,
    DropReason.BAD_STATISTICS, DropReason.BAD_ANNOUNCEMENT, DropReason.OTHER_BUILD)


class RelayPath(Path):
    """A PVC: its DLCI on a port, and counts of frames in both directions."""

    __slots__ = ("_headers", "dlci", "is_inactive", "most", "policer", "relay", "rx_becn", "rx_de", "rx_fecn",
                 "rx_frames", "settings", "shaper", "tagged", "tx_de", "tx_frames", "use", "waiting")

    def __init__(self, relay: RelayPort, dlci: int, node: str, settings: Dlcis, use: str = "") -> None:
        """Make a PVC of a VC table to a far node; `use` is `default` or `management`, and empty for a session's."""
        is_management = use == "management"
        self.relay, self.dlci, self.node, self.port, self.mtu = relay, int(dlci), node, relay.name, settings.mtu
        self.owner: object = None
        self.is_management, self.is_routed = is_management, False
        self.is_inactive = False
        """True where the far end's LMI has told so."""
        self.settings, self.use = settings, use
        self.most = HEADER_SIZE + settings.mtu
        self._headers = [(Address(dlci, de=bool(de)).pack() + bytes((UI,))) if is_management else
                         header_of(Address(dlci, de=bool(de)), version) for de in (0, 1) for version in (4, 6)]
        self.shaper = Committed.of(settings)
        self.policer = Committed.of(settings) if settings.police else None
        self.waiting: deque[bytes] = deque()
        self.tx_frames = self.tx_de = self.rx_frames = self.rx_de = self.rx_fecn = self.rx_becn = self.tagged = 0

    @property
    def channel(self) -> tuple[int]:
        """The DLCI."""
        return (self.dlci,)

    def number(self) -> int:
        """The DLCI of a session's own PVC, else 0."""
        return 0 if self.owner is None else self.dlci

    def send(self, packet: bytes, clp: int) -> None:
        """Send a packet in a frame, which has DE where it may be lost first."""
        self.relay.send(self._headers[clp << 1 | (packet[0] >> 4 == 6)] + packet, self, clp)

    def send_frame(self, frame: PlainFrame, clp: int) -> None:
        """Send the packets of a frame, which leave together unless a CIR holds them."""
        packets = frame.packets()
        header = self._headers[clp << 1 | (packets[0][0] >> 4 == 6)]
        for packet in packets:
            self.relay.send(header + packet, self, clp)


class RelayPort(Port):
    """An end of a link of Frame Relay."""

    medium = "frame-relay"
    reasons = _REASONS

    def __init__(self, name: str, lmi: LmiSide | None) -> None:
        """Make a port without PVCs; `lmi` is this end's side, None on a link without LMI."""
        Port.__init__(self, name, Drops())  # not by super(), which the compiled module does not have
        self.is_timed = False
        self.lmi = lmi
        self.hint = ""
        """The far end's LMI in words, if it is none that is understood."""
        self.paths: dict[int, RelayPath] = {}
        self.open_stray: Callable[[int, bytes], RelayPath | None] | None = None
        """Opens a path for a frame on a DLCI without one, or not."""
        self.frames_out: deque[bytes] = deque()
        self.keeps_frames = False
        self.tx_frames = self.rx_frames = self.rx_fecn = 0
        self._held: dict[int, RelayPath] = {}
        """The PVCs whose frames wait for their CIR, by DLCI."""
        self._held_octets = 0

    def add(self, path: RelayPath) -> RelayPath:
        """Open a PVC."""
        self.paths[path.dlci] = path
        path.is_inactive = self.lmi is not None and self.lmi.is_told_inactive(path.dlci)
        if path.shaper is not None:
            self.is_timed = True
            before = self._held.get(path.dlci)
            if before is not None:  # frames of a PVC that was closed still wait for the CIR of this DLCI
                path.waiting, path.shaper = before.waiting, before.shaper
                self._held[path.dlci] = path
        return path

    def keep_frames(self, wanted: bool) -> None:
        """Have packets that come together, and follow one another, become TCP frames."""
        self.keeps_frames = wanted

    def frames_in(self, octets: bytes) -> list[bytes]:
        """The frames that cross the port together."""
        return frames_of(octets) if octets else []

    def close(self, path: RelayPath) -> None:
        """Close a PVC; frames of it that wait for their CIR still leave."""
        del self.paths[path.dlci]

    # Sending.

    def send(self, frame: bytes, path: RelayPath, de: int) -> None:
        """Send a frame of a PVC, once its CIR allows; drop it where the PVC is inactive."""
        if path.is_inactive:
            self.drops.count(DropReason.INACTIVE_PVC, 1, frame, path)
            return
        if path.shaper is not None:
            # A later fragment may come on a path whose PVC was closed: the frames of a DLCI wait in one queue.
            waiting = self._held.setdefault(path.dlci, path).waiting
            # A PVC without frames that wait has a place for one, be it that of the reports or of probes.
            if len(waiting) >= MOST_WAITING or (waiting and self._held_octets >= MOST_HELD):
                self.drops.count(DropReason.CIR_QUEUE_FULL, 1, frame, path)
                return
            waiting.append(frame)
            self._held_octets += len(frame)
            self.ready.append(self.number)
        else:
            if not self.frames_out:  # else the port is ready already
                self.ready.append(self.number)
            self.frames_out.append(frame)
        path.tx_frames += 1
        path.tx_de += de

    def transmit(self, now: int) -> bytes:
        """Remove and return a train of frames, the LMI's first; the port is ready again while there are more."""
        lmi = self.lmi
        if lmi is not None and lmi.out:
            train = [lmi.out.pop(0)]
        else:
            if self._held and not self.frames_out:
                self._let_go(now)
            if not self.frames_out:
                return b""
            train = self._next_train()
            self.tx_frames += len(train)
        if self.frames_out or (lmi is not None and lmi.out):
            self.ready.append(self.number)
        return train_of(train)

    def _next_train(self) -> list[bytes]:
        """Remove and return the next train: frames of one size, the last of which may be shorter (UDP_SEGMENT)."""
        out = self.frames_out
        train = [out.popleft()]
        first = train[0]
        size = last = len(first)
        most = min(_MOST_TOGETHER, _MOST_OCTETS // size)
        while out and last == size and len(train) < most:
            following = out[0]
            if len(following) > size:
                break
            last = len(following)
            train.append(out.popleft())
        return train

    def _let_go(self, now: int) -> None:
        """Have the frames leave whose CIR allows it by now."""
        self.due = NEVER
        for path in list(self._held.values()):
            assert path.shaper is not None
            while path.waiting and path.shaper.send(len(path.waiting[0]), _has_de(path.waiting[0]), now):
                frame = path.waiting.popleft()
                self._held_octets -= len(frame)
                self.frames_out.append(frame)
            if path.waiting:
                self.due = min(self.due, path.shaper.due(len(path.waiting[0]), _has_de(path.waiting[0]), now))
            else:
                del self._held[path.dlci]

    # Receiving.

    def receive(self, octets: bytes, now: int) -> list[Arrival]:
        """Take frames that came together; return the packets in them, each with its path (and count what is none)."""
        arrivals: list[Arrival] = []
        like, path = b"", None
        for frame in frames_of(octets):
            if path is not None and frame[:_HEADER_SIZE] == like and _is_plain(frame, path.most):
                self.rx_frames += 1  # as the frame before: nearly all of a train
                path.rx_frames += 1
                arrivals.append(_arrival(frame[_HEADER_SIZE:], path))
                continue
            path = self.accept(frame, now)
            if path is not None:
                arrivals += self._packet_of(frame, path)
                like = frame[:_HEADER_SIZE]
                if frame[1] & _FLAGS or path.policer is not None or path.is_management:
                    path = None  # frames with FECN, BECN or DE, policed ones and the LMI's take `accept`
        return _joined(arrivals) if self.keeps_frames and len(arrivals) > 1 else arrivals

    def accept(self, frame: bytes, now: int) -> RelayPath | None:
        """The PVC of a frame, as which it is counted; None for the LMI's, and (counted) for one that is dropped."""
        self.rx_frames += 1
        try:
            dlci = parse_address(frame).dlci
        except FrameError:
            self.drops.count(DropReason.BAD_ADDRESS, 1, frame)
            return None
        if dlci == LMI_DLCI and self.lmi is not None:
            self._hear(frame, self.lmi, now)
            return None
        path = self.paths.get(dlci)
        if path is None and self.open_stray is not None:
            path = self.open_stray(dlci, frame)
        if path is None:
            if dlci == _CISCO_LMI and self.lmi is not None:
                self.hint = _CISCO
            self.drops.count(DropReason.UNKNOWN_DLCI, 1, frame, OnDlci(dlci))
            return None
        flags = frame[1]
        path.rx_frames += 1
        path.rx_de += flags & _DE != 0
        path.rx_becn += flags & _BECN != 0
        if flags & _FECN:
            path.rx_fecn += 1
            self.rx_fecn += 1
        if path.policer is not None and not self._conforms(frame, path, path.policer, now):
            return None
        return path

    def _packet_of(self, frame: bytes, path: RelayPath) -> list[Arrival]:
        if len(frame) > path.most + 1 + 5 and not path.is_management:  # a pad and a SNAP header
            self.drops.count(DropReason.OVERSIZE, 1, frame, path)
            return []
        try:
            octets = frame[_BARE_SIZE:] if path.is_management else payload_of(frame)
        except NlpidError:
            self.drops.count(DropReason.UNKNOWN_ENCAPSULATION, 1, frame, path)
            return []
        return [_arrival(octets, path)]

    def _conforms(self, frame: bytes, path: RelayPath, policer: Committed, now: int) -> bool:
        verdict = policer.judge(len(frame), _has_de(frame), now)
        path.tagged += verdict is Verdict.MARK
        if verdict is Verdict.DISCARD:
            self.drops.count(DropReason.ABOVE_BE, 1, frame, path)
        return verdict is not Verdict.DISCARD

    def _hear(self, frame: bytes, lmi: LmiSide, now: int) -> None:
        """Give a frame of DLCI 0 to the LMI."""
        try:
            message = parse_lmi(frame)
            is_expected = lmi.receive(message, now)
            if not lmi.is_network:
                self._mark(lmi, message)
            self.hint = "" if is_expected else "; both ends are the same side of the LMI, or a number is wrong"
        except LmiError as error:
            is_expected, self.hint = False, f"; {error}"
        if not is_expected:
            self.drops.count(DropReason.BAD_LMI, 1, frame)
        if lmi.out:
            self.ready.append(self.number)

    def _mark(self, lmi: LmiSide, message: Message) -> None:
        """Note which open PVCs a message of the LMI calls inactive: a single status is about few, a full one of all."""
        if message.report == SINGLE:
            told = [path for pvc in message.pvcs if (path := self.paths.get(pvc.dlci)) is not None]
        else:
            told = list(self.paths.values()) if message.report == FULL else []
        for path in told:
            path.is_inactive = lmi.is_told_inactive(path.dlci)

    # Of the port.

    def set_active(self, dlcis: Iterable[int], is_active: bool, now: int, why: str = "") -> None:
        """Have the LMI's network side tell that PVCs are active or not; `why` is shown here. Without it do nothing."""
        if isinstance(self.lmi, NetworkSide):
            for dlci in dlcis:
                self.lmi.set_active(dlci, is_active, now, why)
            if self.lmi.out:
                self.ready.append(self.number)

    def trouble_of(self, dlci: int) -> str:
        """The trouble of a PVC as the LMI tells it, in words; empty for none."""
        trouble = "" if self.lmi is None else self.lmi.trouble_of(dlci)
        return trouble and trouble + self.hint

    def fill(self, count: int) -> bytes:
        """Nothing: Frame Relay has no filling that a far end would drop."""
        return b""

    def channels(self) -> int:
        """The number of its open PVCs."""
        return len(self.paths)

    def condition(self) -> PathCondition:
        """Frames received, and those with FECN."""
        return PathCondition(self.rx_frames, 0, self.rx_fecn)

    def counts(self) -> PortCounts:
        """The frames of the link."""
        return PortCounts(0, 0, 0, 0, self.rx_frames, self.tx_frames)

    def queues(self) -> list[QueueCounts]:
        """The queues of frames in front of PVCs with a CIR, where frames wait."""
        return [QueueCounts(f"DLCI {path.dlci}", MOST_WAITING, 0, 0, len(path.waiting), path.tx_frames,
                            max(0, path.tx_frames - len(path.waiting)), 0, 0) for path in self._held.values()]

    def next_timer(self) -> int | None:
        """The time at which the LMI has work, or None."""
        return None if self.lmi is None else self.lmi.next_timer()

    def handle_timer(self, now: int) -> None:
        """Have the LMI do what is due."""
        if self.lmi is not None and self.lmi.next_timer() <= now:
            self.lmi.handle_timer(now)
            if self.lmi.out:
                self.ready.append(self.number)


def _is_plain(frame: bytes, most: int) -> bool:
    """True for a frame with an NLPID of IP and a packet of this version behind it, without a pad."""
    return (_HEADER_SIZE < len(frame) <= most and frame[_ADDRESS_SIZE] == _UI
            and _VERSIONS.get(frame[_HEADER_SIZE - 1]) == frame[_HEADER_SIZE] >> 4)


def _arrival(octets: bytes, path: RelayPath) -> Arrival:
    arrival = Arrival()
    arrival.octets, arrival.frame, arrival.path = octets, None, path
    return arrival


def _joined(arrivals: list[Arrival]) -> list[Arrival]:
    """The same arrivals, packets of a path that follow one another joined to frames."""
    joined: list[Arrival] = []
    begin = 0
    while begin < len(arrivals):
        first = arrivals[begin]
        path: RelayPath = first.path
        end = begin + 1
        while end < len(arrivals) and arrivals[end].path is path:
            end += 1
        if end == begin + 1 or path.is_management:
            joined += arrivals[begin:end]
        else:
            _join(arrivals[begin:end], joined)
        begin = end
    return joined


def _join(its: list[Arrival], joined: list[Arrival]) -> None:
    """Add the packets of a path to `joined`, as frames where they follow one another."""
    at = 0
    for octets, count in coalesce([arrival.octets for arrival in its]):
        frame = frame_of(octets) if count > 1 else None
        if frame is None:
            joined += its[at:at + count]
        else:
            its[at].frame = frame
            joined.append(its[at])
        at += count


class OnDlci:
    """A DLCI without a PVC, where a drop names its channel."""

    __slots__ = ("channel",)

    def __init__(self, dlci: int) -> None:
        self.channel = (dlci,)


def _has_de(frame: bytes) -> bool:
    return frame[1] & _DE != 0


def ip_of(frame: bytes) -> bytes:
    """The packet in a frame; empty where it has none."""
    try:
        return payload_of(frame)
    except NlpidError:
        return b""


def relay_ports(network: Network, node: str, now: int) -> dict[str, RelayPort]:
    """A node's ports on the links of Frame Relay in a VC table, each with its side of the LMI."""
    ports = {}
    for name in network.links_of(node, "frame-relay"):
        lmi = network.links[name].lmi
        timers = LmiTimers(lmi.t391, lmi.t392, lmi.n391, lmi.n392, lmi.n393)
        side: LmiSide | None = None
        if lmi.type == "ansi":
            side = (NetworkSide(timers, now, _dlcis_on(network, name)) if network.lmi_network(name) == node
                    else UserSide(timers, now))
        ports[name] = RelayPort(name, side)
    return ports


def _dlcis_on(network: Network, link: str) -> Iterable[int]:
    """The DLCIs of a link."""
    return [dlci for name, dlcis in network.dlcis.items() if link in network.relay_links(name).values()
            for dlci in dlcis.all()]
