"""The contenders of `bench peers`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Contender(Struct, frozen=True):
    """A way from the client to the servers.

    `daemons` is the data path of the lab's depot and edge nodes, where they run. `cells` is the number of cells in a
    datagram, if it is not that of the table. `programs` are the programs it needs besides the lab's. `table` is the VC
    table of its lab, if it is not that of the others.
    """

    name: str
    title: str
    about: str
    daemons: Literal["compiled", "plain"] | None = None
    cells: int | None = None
    programs: tuple[str, ...] = ()
    table: str | None = None


KERNEL = Contender("kernel", "kernel forwarding", "the limit: the depot's node routes, no process in the way; flows "
                   "are spread over the servers by a hash of addresses and ports", programs=("ip",))
DNAT = Contender("dnat", "nftables DNAT", "the servers in turn; conntrack turns the answers back",
                 programs=("ip", "nft"))
HAPROXY = Contender("haproxy", "HAProxy", "mode tcp, round robin, a thread for each core", programs=("ip", "haproxy"))
NGINX = Contender("nginx-stream", "nginx stream", "round robin, a worker for each core",
                  programs=("ip", "nginx-stream"))
DEPOT = Contender("depot", "depot", "round robin, compiled, trains of cells as the table says", daemons="compiled")
# The last two show the cost of plain Python, and of a datagram for each cell.
PLAIN = Contender("depot-plain", "depot, plain Python", "the same with ATMDEPOT_PURE=1", daemons="plain")
CELLS = Contender("depot-cells", "depot, one cell per datagram", "compiled, cells = 1 on all links", daemons="compiled",
                  cells=1)

CONTENDERS = {each.name: each for each in (KERNEL, DNAT, HAPROXY, NGINX, DEPOT, PLAIN, CELLS)}
"""Those of a run without `--bearer`."""

BESIDE_BEARERS = (KERNEL, DNAT, HAPROXY)


def _by(bearer: str, title: str, about: str) -> Contender:
    return Contender(f"depot-{bearer}", f"depot, {title}", about, daemons="compiled", table=bearer)


BEARERS = {
    "atm": DEPOT,
    "ethernet": _by("ethernet", "Ethernet", "servers at one interface, packets untouched to their MAC addresses"),
    "ports": _by("ports", "a port each", "an interface for each server, packets untouched"),
    "frame-relay": _by("frame-relay", "Frame Relay", "a DLCI for each session, without a CIR"),
    "rewrite": _by("rewrite", "rewritten headers", "the server's address is written in, and back in answers"),
}
"""The depot by each bearer, by the name for `--bearer`: that of the VC table with such servers."""

EVERY = CONTENDERS | {each.name: each for each in BEARERS.values()}
"""All contenders, in the order in which they are shown."""
