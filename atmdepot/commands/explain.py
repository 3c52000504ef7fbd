"""`atmdepot explain`: the depot's decision on a packet, and its reasons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from atmdepot.config.qos import parse_dscp
from atmdepot.config.reading import load, unknown
from atmdepot.config.units import IpAddress
from atmdepot.depot.explain import Explanation, explain
from atmdepot.depot.forwarding import Depot
from atmdepot.depot.question import Question
from atmdepot.depot.reasons import TCP_FLAGS
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LETTERS = {"S": "SYN", "F": "FIN", "R": "RST", "P": "PSH", "A": "ACK", ".": "ACK", "U": "URG", "E": "ECE", "C": "CWR",
            "W": "CWR"}
_END = re.compile(r"(?:\[([^]]*)\]|([^:]*)):([^:]*)")
_STAGE_WIDTH = 8


def _checked(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """Make a click callback that turns a ValueError into a usage error."""
    def check(context: click.Context, parameter: click.Parameter, value: str) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from None

    return check


def parse_flags(text: str) -> int:
    """Parse TCP flags: `SYN`, `syn,ack`, `SYN+ACK`, `S.` or `SA`; `none` is 0. Raise ValueError otherwise."""
    flags = 0
    for word in filter(None, re.split(r"[\s,+|]+", text.upper().replace("NONE", ""))):
        names = [word] if word in TCP_FLAGS else [_LETTERS.get(letter, "") for letter in word]
        if "" in names:
            raise ValueError(f"{text!r} are no TCP flags: write some of {', '.join(TCP_FLAGS)} with commas between, "
                             f"letters ({''.join(_LETTERS)}), or none")
        # A set, so that a letter given twice counts once.
        flags |= sum({TCP_FLAGS[name] for name in names})
    return flags


def parse_end(text: str, protocol: str) -> tuple[str, int]:
    """Parse `10.0.0.1:80` or `[::1]:80`; for ICMP an address alone, with port 0. Raise ValueError otherwise."""
    if protocol == "icmp":
        return str(IpAddress.parse(text)), 0
    match = _END.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        raise ValueError(f"{text!r} is no address with a port: write \"10.80.0.1:80\" or \"[2001:db8::1]:80\"")
    if not re.fullmatch("[0-9]{1,5}", match[3]) or not 1 <= int(match[3]) <= 65535:
        raise ValueError(f"{match[3]!r} is no port: write 1 to 65535")
    return str(IpAddress.parse(match[1] or match[2])), int(match[3])


def _end(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    """An end as click's callback, so that a wrong end is told before another that is missing."""
    try:
        return parse_end(value, context.params["protocol"])
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.command("explain", epilog="""\b
Examples:
  atmdepot explain --src 10.9.0.2:40000 --dst 10.80.0.1:80
  atmdepot explain --src 10.9.0.2:40000 --dst 10.80.0.1:80 --flags ack --length 1500
  atmdepot explain --src 10.9.0.2 --dst 10.80.0.1 --proto icmp
  atmdepot explain --node depot2 --src 10.9.0.2:40000 --dst 10.80.0.1:80
  atmdepot explain --table qos --src '[fd00:9::2]:40000' --dst '[fd00:80::1]:80' --dscp EF -o json
""")
@click.option("--src", "source", required=True, metavar="IP:PORT", callback=_end, help="The client (for ICMP: IP).")
@click.option("--dst", "destination", required=True, metavar="VIP:PORT", callback=_end,
              help="The service (for ICMP: VIP).")
@click.option("--proto", "protocol", type=click.Choice(["tcp", "udp", "icmp"]), default="tcp", show_default=True,
              is_eager=True, help="ICMP is an echo request.")
@click.option("--flags", default="SYN", show_default=True, callback=_checked(parse_flags),
              help="The TCP flags, in words (syn,ack) or letters (SA); or none.")
@click.option("--dscp", default="0", show_default=True, callback=_checked(parse_dscp),
              help="The packet's DSCP: 0 to 63, or a name such as EF or AF21.")
@click.option("--length", type=click.IntRange(1, 65535), metavar="OCTETS",
              help="The length of the whole IP packet; by default that of its headers.")
@click.option("--table", metavar="FILE",
              help="Ask no daemon: answer for the depot of this VC table, just after its start.")
@click.option("--node", metavar="NAME", help="Which depot, where there are several; an active one, if it is left out.")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="The format of the output.")
def explain_command(
    source: tuple[str, int], destination: tuple[str, int], protocol: Literal["tcp", "udp", "icmp"], flags: int,
    dscp: int, length: int | None, table: str | None, node: str | None, network_name: str | None, output: str,
) -> None:
    """Tell what the depot would do with a packet, and why.

    You see, step by step, which session, server, VC and class a client's packet would get, or why it would be
    dropped. The depot stays as it is: no session is opened, and no server's turn is used up.
    """
    if table is not None and network_name is not None:
        raise click.UsageError("--table asks no running network: leave out --network.")
    try:
        question = Question(source=source[0], source_port=source[1], destination=destination[0],
                            destination_port=destination[1], protocol=protocol, flags=flags, dscp=dscp,
                            length=length or 0)
        octets = question.packet()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if table is not None:
        _print(explain(_just_started(table, node), octets, 0), output)
    else:
        _print(_ask(network_name, node, question), output)


def _just_started(table: str, node: str | None) -> Depot:
    network = load(table)
    if node is not None and node not in network.depots:
        raise AtmdepotError(unknown("depot", node, network.depots))
    return Depot(network, 0, node or "")


def _ask(network_name: str | None, node: str | None, question: Question) -> Explanation:
    from atmdepot.net.control_client import ask_explanation
    from atmdepot.net.running import node_socket

    return ask_explanation(node_socket(network_name, node), question)


def _print(told: Explanation, output: str) -> None:
    if output == "json":
        row = msgspec.to_builtins(told)
        click.echo(msgspec.json.encode({**row.pop("path"), **row}).decode())
        return
    stage = ""
    for step in told.steps:
        click.echo(f"{'' if step.stage == stage else step.stage:<{_STAGE_WIDTH}} {step.text}")
        stage = step.stage
    click.echo(told.verdict)
