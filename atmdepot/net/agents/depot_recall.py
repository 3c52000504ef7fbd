"""Counters of what a depot tells the edge nodes of its set, and asks of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.net.agents.rows import CounterRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.depot.announcing import Announcing
    from atmdepot.depot.recall import Recalling

_REASONS = {
    "not-a-service": "it is of no service of the server at that edge node",
    "own-probe": "it is a probe of this depot's own",
    "idle": "it was silent for longer than the depot keeps such an entry",
    "table-full": "the session table has no room that it may take"}


def recall_counters(node: str, announcing: Announcing, recall: Recalling) -> Iterator[CounterRow]:
    """The announcements sent, and what has become of the flows that edge nodes have told."""
    if announcing.sent:
        yield CounterRow(node, "announcements", "sent", announcing.sent, "PDUs")
    if not recall.recalls:
        return
    for counter, value, unit, meaning in (
            ("recalls", recall.recalls, "times", "the edge nodes were asked for their flows"),
            ("asked-again", recall.asked_again, "times", "an answer, or a part of it, was missing"),
            ("unanswered", recall.unanswered, "edge nodes", "they did not answer within 5 s, or run another build"),
            ("recalled", recall.adopted, "flows", "they were adopted"),
            ("replaced", recall.replaced, "flows", "adopted in place of an earlier session of the same ports"),
            ("known", recall.known, "flows", "they were known already"),
            ("late", recall.late, "PDUs", "they came when they were no longer waited for")):
        yield CounterRow(node, "recall", counter, value, unit, meaning)
    for reason, count in recall.refused.items():
        yield CounterRow(node, "recall", f"refused:{reason}", count, "flows", _REASONS[reason])
