"""The management agent of an interworking function: its VCs, each with the PVC as which it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.net.agents.agent import Agent, in_use_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.bearer.oam import NodeOam
    from atmdepot.switch.interworking import InterworkingNode, Pair


class InterworkingAgent(Agent):
    """The agent of an interworking function. Its VCs and PVCs are all open, also those that no session uses yet."""

    node: InterworkingNode

    def oam(self) -> NodeOam | None:
        """The OAM of the VPs that end here."""
        return self.node.oam

    def ends(self, link: LinkAdaptation) -> Iterator[Vc]:
        """The VCs of a link: the permanent ones of each VP, those that have carried cells, and the others."""
        pairs = [pair for pair in self.node.pairs if pair.link is link]
        return in_use_first([pair.vc for pair in pairs], lambda vc: bool(_pair(vc).path.use),
                            lambda vc: bool(vc.tx_cells or vc.rx_cells))

    def carries(self, vc: Vc) -> str:
        """The place in the VC table of the PVC as which a VC goes on."""
        return f"dlcis.{_pair(vc).entry}"

    def leads_to(self, vc: Vc) -> str:
        """The link and the DLCI as which a VC goes on."""
        path = _pair(vc).path
        return f"{path.port} DLCI {path.dlci}"


def _pair(vc: Vc) -> Pair:
    pair: Pair = vc.owner  # type: ignore[assignment]  # every VC here has its pair
    return pair
