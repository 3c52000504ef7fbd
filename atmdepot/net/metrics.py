"""Metrics of a node: name, meaning, labels and source of the value.

The values are those of `atmdepot show` (`net/views.py`), under names of Prometheus' form. No label names a session or a
client, so the length of a page depends on the VC table alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from msgspec import UNSET
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

import atmdepot
from atmdepot.atm.oam import Condition
from atmdepot.atm.protection import Side
from atmdepot.net import relay_view, views
from atmdepot.net.agents.agent import PLACE, Family
from atmdepot.net.kinds import KINDS, agent_of
from atmdepot.net.readiness import not_ready

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric

    from atmdepot.net.pump import Pump

_PREFIX = "atmdepot_"
_ALL = sys.maxsize  # no limit on rows: the VC table bounds them
_NODE = ("network", "node")
_SAMPLES = 32  # in a piece of the page: a slice can end between pieces
_HEAD_LINES = 2  # HELP and TYPE
_QUANTILE = "quantile"  # the label by which a family is a summary


def _counter(text: str, *labels: str) -> Family:
    return Family(True, text, labels)


def _gauge(text: str, *labels: str) -> Family:
    return Family(False, text, labels)


_COMMON = {
    "info": _gauge("Always 1; the labels say the kind of node and the version of atmdepot.", "kind", "version"),
    "ready": _gauge("1 when /readyz answers 200."),
    "host_restored": _counter("Parts of the set-up on the host that were lost and set up again."),
    "loop_long_turns": _counter("Turns of the daemon's loop that took more than 5 ms of processor time."),
    "loop_longest_turn_seconds": _gauge("The longest of these turns; 0 if there was none."),
    "tun_packets": _counter("Packets at the TUN device: rx were read from it, tx were written to it.", "direction"),
    "tun_vanished": _counter("How often the TUN device was removed; the daemon made it again."),
    "link_cells": _counter("Cells of the link: rx received, tx sent.", "link", "direction"),
    "link_pdus": _counter("Complete AAL5 PDUs of the link.", "link", "direction"),
    "link_datagrams": _counter("UDP datagrams that carried the cells.", "link", "direction"),
    "link_unassigned_cells": _counter("Unassigned and idle cells received.", "link"),
    "link_hec_corrected": _counter("Cells with one wrong bit in the header, which the HEC corrected.", "link"),
    "link_late_cells": _counter("Cells that a link with a rate could have sent while the node was late.", "link"),
    "link_refused_contracts": _counter(
        "VCs that are best effort because the link's rate had no room for their contract.", "link"),
    "queue_cells": _gauge("Cells in an output queue of the link: held in its room; shaped: waiting for their contract.",
                          "link", "queue", "kind"),
    "queue_room_cells": _gauge("The size of the queue.", "link", "queue"),
    "queue_most_cells": _gauge("The most cells that the queue has held.", "link", "queue"),
    "queue_left_cells": _counter("Cells that left the queue.", "link", "queue"),
    "queue_dropped_cells": _counter("Cells that the queue dropped.", "link", "queue"),
    "queue_marked_cells": _counter("Cells that the queue marked with EFCI.", "link", "queue"),
    "link_udp_segment_refused": _counter("How often the device or the route refused UDP_SEGMENT; the node tries again.",
                                         "link"),
    "link_vcs": _gauge("Open VCs on the link: permanent VCs and the VCs of sessions.", "link"),
    "vp_session_vcis": _gauge("VCIs in the VP's range session_vcis.", "vp", "link"),
    "vc_cells": _counter("Cells of a VC that several sessions share; carries: default, management, permanent or a "
                         "service category.",
                         "link", "vc", "carries", "direction"),
    "vp_condition": _gauge("1 while the VP is in this condition at this node: AIS, LOC or RDI (I.610).",
                           "vp", "link", "condition"),
    "vp_protection_selected": _gauge("1 for the route that the protected VP uses at this node, 0 for the other.",
                                     "vp", "route"),
    "vp_protection_switches": _counter("How often the protected VP moved to the other route at this node.", "vp"),
    "vp_not_selected_cells": _counter("Cells that came on the route that was not selected; in 1+1 copies.", "vp"),
    "vp_oam_cells": _counter("OAM cells of the VP's F4 flows that end here; received ones have a right CRC-10.",
                             "vp", "link", "flow", "direction"),
    "vp_monitored": _counter("Performance monitoring of the VP: lost and misinserted cells, errored bits, blocks; "
                             "near: of what came here, far: as the far end reports.", "vp", "link", "end", "what"),
    "link_signal": _gauge("0 while a link with supervise has lost its signal, else 1.", "link"),
    "pvc_frames": _counter("Frames of a PVC that several sessions share; carries: default or management.",
                           "link", "dlci", "carries", "direction"),
    "pvc_flagged_frames": _counter("Frames received on such a PVC with the bit DE, FECN or BECN.",
                                   "link", "dlci", "bit"),
    "lmi_up": _gauge("1 while the LMI works on the link.", "link", "side"),
    "lmi_errors": _counter("Status enquiries without a right answer, or enquiries that did not come.", "link", "side"),
    "lmi_active_pvcs": _gauge("PVCs that the LMI reports as active.", "link"),
    "drops": _counter("What was dropped, by place and reason; unit: cells, PDUs, packets, datagrams or frames.",
                      "place", "reason", "unit"),
    "probes_not_made": _counter("Probes that this host could not make; they say nothing about the server."),
}

FAMILIES = _COMMON | {name: family for kind in KINDS.values() for name, family in kind.agent.families.items()}
"""Metrics by their name without the prefix; all have the labels `network` and `node` first."""

_OF_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "rx-packets": ("tun_packets", ("rx",)), "tx-packets": ("tun_packets", ("tx",)), "vanished": ("tun_vanished", ()),
    "unassigned-cells": ("link_unassigned_cells", (PLACE,)), "hec-corrected": ("link_hec_corrected", (PLACE,)),
    "late-cells": ("link_late_cells", (PLACE,)), "refused-contracts": ("link_refused_contracts", (PLACE,)),
    "udp-segment-refused": ("link_udp_segment_refused", (PLACE,)),
    "not-selected": ("vp_not_selected_cells", (PLACE,)), "protection-switches": ("vp_protection_switches", (PLACE,))}
"""Rows of `show counters` that become a metric unchanged; the links' other values come from `show links`."""


def counters_with_a_metric() -> set[str]:
    """The counters of `show counters` that are metrics as well, besides the drops."""
    return set(_OF_COUNTERS).union(*(kind.agent.metric_of_counter for kind in KINDS.values()))


def full_names() -> set[str]:
    """The names in Prometheus' form."""
    return {f"{_PREFIX}{name}{'_total' * family.counts}" for name, family in FAMILIES.items()}


class _Quantiles(GaugeMetricFamily):
    """A summary without a count and a sum, which prometheus-client has no class for: its samples are quantiles."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        super().__init__(name, documentation, labels=labels)
        self.type = "summary"


def _class_of(family: Family) -> type[CounterMetricFamily | GaugeMetricFamily]:
    if _QUANTILE in family.labels:
        return _Quantiles
    return CounterMetricFamily if family.counts else GaugeMetricFamily


class Metrics:
    """Metrics of a node, collected on demand; a `Collector` for prometheus-client."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._agent = agent_of(pump.node)
        self._node = (pump.node.network.name, pump.node.name)
        self._made: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}

    def collect(self) -> Iterator[Metric]:
        """The families that have values on this node."""
        for _ in self.gather():
            pass
        return self.families()

    def gather(self) -> Iterator[None]:
        """Collect the values in steps, so that the data path can go on in between."""
        self._made = {name: _class_of(family)(
            _PREFIX + name, family.text, labels=(*_NODE, *family.labels)) for name, family in FAMILIES.items()}
        for part in (self._node_itself, self._counters, self._links, self._queues, self._vcs, self._oam,
                     self._protection, self._relay, self._of_the_kind):
            yield from part()

    def families(self) -> Iterator[Metric]:
        """The families that were gathered, if they have values."""
        return (family for family in self._made.values() if family.samples)

    def text(self) -> Iterator[bytes]:
        """The page in Prometheus' text format, made piece by piece."""
        for _ in self.gather():
            yield b""  # no text yet, but the caller can rest
        for family in self.families():
            yield from _text(family)

    def _add(self, name: str, value: float, *labels: str) -> None:
        self._made[name].add_metric((*self._node, *labels), value)

    def _node_itself(self) -> Iterator[None]:
        node = self._pump.node
        self._add("info", 1, node.network.nodes[node.name].kind, atmdepot.__version__)
        self._add("ready", not not_ready(self._pump))
        self._add("host_restored", self._pump.host.restored if self._pump.host is not None else 0)
        self._add("loop_long_turns", self._pump.watchdog.count)
        self._add("loop_longest_turn_seconds", self._pump.watchdog.longest / 1e9)
        self._add("probes_not_made", self._agent.tries_not_made())
        yield

    def _counters(self) -> Iterator[None]:
        metric_of = _OF_COUNTERS | dict(self._agent.metric_of_counter)
        for row in views.counters(self._pump, _ALL):
            yield
            name, place, value = row.counter, row.place, row.value
            if name.startswith("drop:"):
                self._add("drops", value, place, name.removeprefix("drop:"), row.unit)
            elif name in metric_of:
                metric, labels = metric_of[name]
                self._add(metric, value, *(place if label == PLACE else label for label in labels))

    def _links(self) -> Iterator[None]:
        for row in views.links(self._pump, _ALL):
            yield
            for unit in ("cells", "pdus", "datagrams"):
                for direction in ("rx", "tx"):
                    if (value := getattr(row, f"{direction}_{unit}")) is not UNSET:
                        self._add(f"link_{unit}", value, row.link, direction)
            self._add("link_vcs", self._pump.node.links[row.link].channels(), row.link)

    def _queues(self) -> Iterator[None]:
        for row in views.queues(self._pump, _ALL):
            yield
            labels = row.link, row.queue
            self._add("queue_cells", row.held, *labels, "held")
            self._add("queue_cells", row.shaped, *labels, "shaped")
            for name, value in (("room", row.room), ("most", row.most), ("left", row.left), ("dropped", row.dropped),
                                ("marked", row.marked)):
                self._add(f"queue_{name}_cells", value, *labels)

    def _vcs(self) -> Iterator[None]:
        node = self._pump.node
        for name, vp in node.network.vps_of(node.name).items():
            yield
            vcis = vp.session_vcis
            count = vcis.last - vcis.first + 1 if vcis else 0
            self._add("vp_session_vcis", count, name, node.network.routes.working[name].link_at(node.name))
        for row in views.permanent_vcs(self._pump):
            yield
            for direction, cells in (("rx", row.rx_cells), ("tx", row.tx_cells)):
                self._add("vc_cells", cells, row.link, row.vc, row.carries, direction)

    def _oam(self) -> Iterator[None]:
        oam = self._agent.oam()
        if oam is None:
            return
        for name, link in oam.links.items():
            if link.is_supervised:
                self._add("link_signal", link.has_signal, name)
        for vp in (*oam.vps.values(), *oam.second.values()):
            yield
            link_name = vp.link.adaptation.name
            for condition in Condition:
                self._add("vp_condition", condition in vp.conditions, vp.name, link_name, condition)
            for flow in (vp.end, vp.segment):
                for direction, cells in (("rx", flow.point.received), ("tx", flow.point.sent)):
                    self._add("vp_oam_cells", cells.total(), vp.name, link_name, flow.flow, direction)
            if (near := vp.near) is not None:
                for end, seen in (("near", near), ("far", vp.report.performance)):
                    for what in ("lost", "misinserted", "errors", "blocks"):
                        self._add("vp_monitored", getattr(seen, what), vp.name, link_name, end, what)

    def _protection(self) -> Iterator[None]:
        for vp in self._agent.protected().values():
            yield
            for side in Side:
                self._add("vp_protection_selected", vp.state.selected is side, vp.name, side)

    def _relay(self) -> Iterator[None]:
        for row in relay_view.permanent_dlcis(self._pump):
            yield
            for direction, frames in (("rx", row.rx_frames), ("tx", row.tx_frames)):
                self._add("pvc_frames", frames, row.link, str(row.dlci), row.carries, direction)
            for bit, frames in (("DE", row.rx_de), ("FECN", row.rx_fecn), ("BECN", row.rx_becn)):
                self._add("pvc_flagged_frames", frames, row.link, str(row.dlci), bit)
        for lmi in relay_view.lmis(self._pump, _ALL):
            yield
            self._add("lmi_up", lmi.up, lmi.link, lmi.side)
            self._add("lmi_errors", lmi.errors, lmi.link, lmi.side)
            self._add("lmi_active_pvcs", lmi.active, lmi.link)

    def _of_the_kind(self) -> Iterator[None]:
        for name, value, labels in self._agent.samples(self._pump.clock):
            yield
            self._add(name, value, *labels)


class _Only:
    """A registry of a single family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


def _text(family: Metric) -> Iterator[bytes]:
    """A family in pieces of `_SAMPLES` samples; only the first piece has the two header lines."""
    samples = family.samples
    for start in range(0, len(samples), _SAMPLES):
        family.samples = samples[start:start + _SAMPLES]  # generate_latest formats whole families only
        text = generate_latest(_Only(family))
        yield text.split(b"\n", _HEAD_LINES)[_HEAD_LINES] if start else text
    family.samples = samples
