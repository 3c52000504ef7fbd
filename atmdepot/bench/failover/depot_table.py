"""The VC table of a contender of depots: a table that ships, with the mode that is to be measured. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from atmdepot.config.reading import parse
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from atmdepot.bench.failover.cases import Contender
    from atmdepot.config.model import Network

PAIR, LONE = "standby", "direct"
"""The tables that ship with atmdepot: two depots, and one."""

_LONE_SET = '\n[depots.main]\nnodes = ["{depot}"]\nrecall = {recall}\nadopt = {recall}\n'


def base_of(contender: Contender) -> str:
    """The name of the table that a contender's is made of."""
    return LONE if contender.standby == "lone" else PAIR


def table_for(contender: Contender, text: str, name: str) -> str:
    """The text of a contender's table.

    Args:
        contender: one with depots.
        text: the table of its base.
        name: the lab's name, which becomes the network's.

    Raises:
        AtmdepotError: the table cannot be changed like this.

    """
    changed = re.sub(r"(?m)^name\s*=.*$", f'name = "{name}"', text, count=1)
    recall = "true" if contender.recall else "false"
    if contender.standby == "lone":
        changed += _LONE_SET.format(depot=parse(text).depot, recall=recall)
    else:
        changed = _set(changed, "standby", f'"{contender.standby}"')
        if contender.standby == "none":
            changed = re.sub(r"(?m)^(sync|interval)\s*=.*\n", "", changed)
        else:
            changed = _set(changed, "interval", f'"{contender.interval:g}s"')
        changed = re.sub(r"(?m)^(\[depots\.[^]]+\])$", rf"\1\nrecall = {recall}\nadopt = {recall}", changed, count=1)
        if contender.standby == "hot" and "\nwatch" not in changed:
            changed = re.sub(r"(?m)^(\[depots\.[^]]+\])$", lambda match: f"{match[1]}\n{_watch(parse(text))}", changed,
                             count=1)
    made = parse(changed)
    (of,) = made.sets.values()
    if (made.name, of.recall, of.interval) != (name, contender.recall, round(contender.interval * 1e9)):
        raise AtmdepotError(f"the table {base_of(contender)} cannot be changed for {contender.name}")
    return changed


def _set(text: str, key: str, value: str) -> str:
    return re.sub(rf"(?m)^{key}\s*=.*$", f"{key} = {value}", text, count=1)


def _watch(network: Network) -> str:
    """The key by which hot standbys watch the clients' LAN."""
    ((_, of),) = network.sets.items()
    ports = ", ".join(f'{node} = "{of.interface or "client"}"' for node in of.nodes)
    return f"watch = {{ {ports} }}"


def wires_to_edges(network: Network, depot: str) -> list[str]:
    """The links from a depot to edge nodes, by their names, which are those of the lab's wires too."""
    return [name for name, link in network.links.items() if depot in link.ends]
