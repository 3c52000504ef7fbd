"""Module changes of an established data packet from read to write: run by test_module_changes, uncompiled.

A change is a call of a function of another module, as `sys.setprofile` tells it. Counts depend on nothing but the code.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.net.pump import Pump
from tests.depot.playbook import Playbook
from tests.ip_packets import ACK, PSH, tcp
from tests.network_in_memory import CLIENT4, VIP4

if TYPE_CHECKING:
    from types import FrameType


class Changes:
    """The modules that a packet enters, in order, from `begin` to `end`."""

    def __init__(self) -> None:
        self.modules: list[str] = []

    def begin(self) -> None:
        sys.setprofile(self._called)

    def end(self) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        caller, module = frame.f_back, frame.f_globals["__name__"]
        is_ours = module.startswith("atmdepot.") or module == __name__
        if event == "call" and is_ours and caller is not None and caller.f_globals["__name__"] != module:
            self.modules.append(module)


class Ends:
    """A TUN device and a link of a pump: a burst is read from `given`, and then written to `got`."""

    whole, malformed = False, ()

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.given: list[bytes] = []
        self.got: list[bytes] = []

    def fileno(self) -> int:
        return -1

    def read_burst(self, _: int) -> list[bytes]:
        given, self.given = self.given, []
        self._changes.begin()
        return given

    receive_burst = read_burst

    def write_burst(self, packets: list[bytes]) -> list[bytes]:
        self._changes.end()
        self.got += packets
        return []

    def send(self, cells: bytes, _: int) -> None:
        self._changes.end()
        self.got.append(cells)

    def wants_write(self) -> bool:
        return False


def ways() -> dict[str, list[str]]:
    """The modules that a client's data packet enters, and a server's."""
    play = Playbook()
    play.open()
    depot, session = play.net.depot, play.session()
    assert session is not None
    for number in range(len(depot.links)):
        depot.transmit(number, play.net.now)
    depot.ready.clear()
    there, back = Changes(), Changes()
    device, links = Ends(there), {name: Ends(back) for name in depot.links}
    pump = Pump(depot, links, device, clock=lambda: play.net.now)  # type: ignore[arg-type]
    data: dict[str, Any] = {"data": bytes(100)}
    request = tcp(CLIENT4, play.port, VIP4, 80, ACK | PSH, seq=101, ack=301, **data)
    device.given = [request]
    links[session.path.port]._changes = there
    pump.burst_from_tun()
    vc = session.path.vc
    assert links[session.path.port].got == [segment(request, Vc(*vc.channel, encapsulation=vc.encapsulation))]
    answer = tcp(VIP4, 80, CLIENT4, play.port, ACK | PSH, seq=301, ack=201, **data)
    link = links[session.path.port]
    link.given = [segment(answer, Vc(*vc.channel, encapsulation=vc.encapsulation))]
    link._changes = device._changes = back
    pump.burst_from_link(session.path.port, link)  # type: ignore[arg-type]
    assert device.got == [answer]
    return {"from client": there.modules, "from server": back.modules}


if __name__ == "__main__":
    json.dump(ways(), sys.stdout)
