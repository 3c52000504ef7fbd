"""`atmdepot trace`: its options, and the trace that they select."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atmdepot.commands.writing import require_writable
from atmdepot.config.units import Duration
from atmdepot.errors import AtmdepotError
from atmdepot.trace.capture.write import FORMATS, open_writer
from atmdepot.trace.filter.filter import filter_help, parse_filter
from atmdepot.trace.places import Choice, StoppedReading, open_source, print_places
from atmdepot.trace.show.clock import Stamp
from atmdepot.trace.show.fields import check_names, field_help
from atmdepot.trace.show.ladders import LadderShower
from atmdepot.trace.show.printers import FieldShower, JsonShower, LineShower, StatisticsShower
from atmdepot.trace.show.summary import summary
from atmdepot.trace.show.text import LinePrinter
from atmdepot.trace.tracer import LEVELS, Tracer
from atmdepot.trace.views import Views
from atmdepot.wire.aal5 import CrcMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.trace.capture.write import CaptureWriter
    from atmdepot.trace.places import Opened
    from atmdepot.trace.tracer import Shower

_EXAMPLES = """\b
Examples:
  atmdepot trace                              every PDU on every link of the network that runs here
  atmdepot trace role session                 those of sessions only: no probes, no statistics
  atmdepot trace -i depot:to-web1 -vv -c 1    one PDU with all its fields, and those of its cells
  atmdepot trace --level cell vc web1         one line for each cell to and from web1
  atmdepot trace drop                         why is nothing forwarded?
  atmdepot trace --level session              sessions as they open and close, and their servers
  atmdepot trace --ladder session 1           a session as a diagram, from SYN to FIN, when the trace ends
  atmdepot trace -w cells.pcap --duration 10s
  atmdepot trace -w packets.pcap --format ip  only the packets: any program opens that
  atmdepot trace -r cells.pcap tcp port 80 and not crc good
  atmdepot trace -i eth0 --port 5501          the UDP links of others, GNS3's too
  atmdepot trace -i depot:to-web1 -w - | wireshark -k -i -
"""


class _DurationType(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.3
    """A duration: `10s`, `500ms`, or a bare number of seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a duration to nanoseconds; an invalid or zero duration is a usage error."""
        text = str(value)
        try:
            duration = int(Duration.parse(f"{text}s" if text.replace(".", "", 1).isdecimal() else text))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return duration or self.fail(f"{text!r} is no time to wait for", param, ctx)


class _Ports(click.ParamType):  # type: ignore[type-arg]
    """UDP ports: `5501`, `5501,5502`, `10000-10010`."""

    name = "ports"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Parse ports; an invalid port or range is a usage error."""
        ports: list[int] = []
        for part in str(value).split(","):
            first, _, last = part.partition("-")
            if not first.isdecimal() or (last and not last.isdecimal()):
                self.fail(f"{part!r} is no port: write 5501, 5501,5502 or 10000-10010", param, ctx)
            span = range(int(first), int(last or first) + 1)
            if not span or not 1 <= span[0] <= span[-1] <= 65535:
                self.fail(f"{part!r}: write ports from 1 to 65535", param, ctx)
            ports += span
        return tuple(ports)


def _epilog() -> str:
    """Examples and filter words; each paragraph has the mark that keeps click from folding it."""
    words = textwrap.indent(filter_help(), "  ").replace("\n\n", "\n\n\b\n")
    return f"{_EXAMPLES}\n\b\nFilter:\n{words}\n"


@click.command("trace", epilog=_epilog())
@click.argument("words", nargs=-1, metavar="[FILTER]...")
@click.option("-i", "--interface", "places", multiple=True, metavar="PLACE",
              help="The place to listen: NODE, NODE:LINK or `any` of the network that runs here, or, with --port, a "
                   "network interface. Can be repeated.  [default: any]")
@click.option("-r", "--read", "read", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
              help="Read a capture instead: pcap or pcapng with ERF, UDP, SUNATM, RFC 1483 or GNS3's cells, or an .erf "
                   "file, also compressed by gzip. - is standard input.")
@click.option("-D", "--list", "list_places", is_flag=True, help="List the places that -i takes, and end.")
@click.option("--port", "ports", type=_Ports(), metavar="PORTS",
              help="The UDP ports of links, on an interface or in a capture: 5501, 5501,5502 or 10000-10010.")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
@click.option("--table", metavar="TABLE", help="The VC table that names VCs and servers, for captures and interfaces.")
@click.option("--level", type=click.Choice(LEVELS), default="pdu", show_default=True,
              help="A line for each cell, each PDU, each change of a session, or for all of them.")
@click.option("-c", "--count", type=click.IntRange(min=1), metavar="N",
              help="End after N lines, or packets of ladders.")
@click.option("--duration", type=_DurationType(), help="End after this time: 10s, 500ms, 2min.")
@click.option("-n", "numeric", is_flag=True, help="Show numbers only: no names of servers, no session numbers.")
@click.option("-q", "quick", is_flag=True, help="Show shorter lines.")
@click.option("-t", "stamp", count=True,
              help="Time: -t none, -tt seconds since 1970, -ttt since the line before, -tttt with the date, -ttttt "
                   "since the first line.")
@click.option("-v", "verbose", count=True,
              help="Show every field of PDU and packet, as a tree; -vv: of each cell, too.")
@click.option("-x", "hexdump", is_flag=True, help="Show the octets of each cell or PDU, in hexadecimal.")
@click.option("-X", "textdump", is_flag=True, help="Show the octets in hexadecimal and as characters.")
@click.option("-s", "--snap", type=click.IntRange(min=1), metavar="OCTETS",
              help="The most octets of each PDU that -x shows and -w writes.")
@click.option("-l", "line_buffered", is_flag=True, help="Write every line at once, also into a pipe.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "ndjson", "svg"]), default="text",
              show_default=True,
              help="The format of the output: lines, one JSON array, a JSON object on each line, or, with --ladder, a "
                   "drawing.")
@click.option("-e", "--field", "fields", multiple=True, metavar="FIELD",
              help="Show only these fields, in this order (text: separated by tabs). Can be repeated.")
@click.option("--heading/--no-heading", default=True, show_default=True,
              help="With -e: begin with a line of the fields' names.")
@click.option("--ladder", is_flag=True,
              help="Draw each session as a ladder: its packets as arrows between client and server, their cells below "
                   "them. With -o svg as a picture.")
@click.option("--fields", "list_fields", is_flag=True, help="List the fields, and end.")
@click.option("--stats", is_flag=True,
              help="Show no lines, but counts at the end: by VC, link, server and drop reason.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
              help="Colours; auto: on a terminal, unless NO_COLOR is set.")
@click.option("-w", "--write", "write", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
              help="Write cells and PDUs to a capture instead of showing them; - is standard output.")
@click.option("--format", "file_format", type=click.Choice(FORMATS),
              help="The format of that capture: ERF records in pcap, all of several nodes in pcapng (their default), "
                   "SUNATM, frames of another bearer, or only the IP packets, which any program opens.")
@click.option("--each-node", is_flag=True,
              help="Write to the capture what every node saw; without it, what two traced nodes saw of a link is "
                   "written once, as its sender saw it.")
@click.option("--print", "print_lines", is_flag=True, help="Also show lines while -w writes.")
@click.option("-U", "packet_buffered", is_flag=True, help="Write each cell and PDU to the capture at once.")
@click.option("-C", "file_size", type=click.IntRange(min=1), metavar="MB",
              help="Begin a new capture after MB million octets.")
@click.option("-G", "file_time", type=_DurationType(), help="Begin a new capture after this time, as in 10min.")
@click.option("-W", "file_count", type=click.IntRange(min=1), metavar="N", help="Keep the last N captures only.")
@click.option("--nni", is_flag=True,
              help="Read headers as an NNI's (12-bit VPI) where neither capture nor VC table tells.")
@click.option("--crc", type=click.Choice([mode.value for mode in CrcMode]),
              help="Judge every PDU's CRC-32 by this rule instead of its VC's.")
@click.option("--install-dissector", is_flag=True, help="Put the dissector of the UDP links in Wireshark's folder.")
def trace(**options: Any) -> None:
    """See the cells: live, on an interface, or in a capture.

    FILTER is words such as `vc web1`, `host 10.0.0.5`, `oam` or `drop`; all words are listed below. At the end a
    summary goes to standard error.
    """
    if options["install_dissector"]:
        from atmdepot.trace.wireshark import install

        click.echo(f"the dissector is in {install()}; Wireshark loads it when it starts", err=True)
    elif options["list_fields"]:
        click.echo(field_help())
    elif options["list_places"]:
        print_places()
    else:
        _Trace(options).run()


class _Trace:
    """A run of the command with its options."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        # Statistics count cells, PDUs and sessions.
        self._level = "all" if options["stats"] else options["level"]
        # Parsed first for the records to ask the source for; `run` parses again with the source's names of VCs.
        self._asked = parse_filter(options["words"])
        if self._level == "pdu" and self._asked.wants == {"sessions"}:
            self._level = "session"  # the filter keeps no other items
        self._fields = check_names(options["fields"])
        # Statistics without a filter need only counts of cells.
        self._counts = options["stats"] and not (options["words"] or options["count"] or options["write"])
        self._check()

    def _check(self) -> None:
        """Raise UsageError for options that contradict each other."""
        options = self._options
        if options["read"] and options["places"]:
            raise click.UsageError("-r reads a capture and -i listens: choose one of them.")
        if options["read"] and self._asked.wants == {"drops"}:
            raise click.UsageError("a capture holds no drops: see them as they happen, by `atmdepot trace drop`.")
        rotation = [flag for flag, name in (("-C", "file_size"), ("-G", "file_time"), ("-W", "file_count"))
                    if options[name]]
        if rotation and (options["write"] is None or str(options["write"]) == "-"):
            raise click.UsageError(f"{rotation[0]} is for captures in files: add -w FILE.")
        if options["write"] is None and options["file_format"]:
            raise click.UsageError("--format is that of a capture: add -w FILE. (-o is the format of what is shown.)")
        if options["file_count"] and len(rotation) == 1:
            raise click.UsageError("-W keeps the last of many captures: say with -C or -G when a new one begins.")
        if options["output"] == "svg" and not options["ladder"]:
            raise click.UsageError("-o svg is a drawing: add --ladder.")
        if options["ladder"] and (options["output"] in ("json", "ndjson") or options["stats"] or options["fields"]):
            raise click.UsageError("--ladder draws sessions: it goes with -o text and -o svg, and without -e and "
                                   "--stats.")
        if str(options["write"]) == "-" and options["print_lines"]:
            raise click.UsageError("-w - and --print would both go to standard output.")
        shown = [flag for flag, name in (("--stats", "stats"), ("--ladder", "ladder"), ("-e", "fields"))
                 if options[name]]
        if shown and options["write"] is not None and not options["print_lines"]:
            raise click.UsageError(f"-w writes instead of showing: add --print for {shown[0]} as well.")
        if options["read"] and options["network_name"]:
            raise click.UsageError("-r reads a capture and --network names a running network: choose one of them.")
        if options["write"] is not None and str(options["write"]) != "-":
            require_writable(options["write"], in_place=True)

    def run(self) -> None:
        """Trace until the source or the user ends it; print the summary to stderr."""
        options = self._options
        with contextlib.ExitStack() as stack:
            opened = stack.enter_context(open_source(self._choice()))
            of_capture = bool(options["read"] or options["ports"])
            keep = (parse_filter(options["words"], opened.book, of_capture=of_capture) if options["words"] else None)
            writer = stack.enter_context(self._writer(opened)) if options["write"] is not None else None
            shower = self._shower(opened) if writer is None or options["print_lines"] else None
            tracer = Tracer(
                opened.source, opened.follower, level=self._level, keep=keep, shower=shower, writer=writer,
                remark=_tell, count=options["count"] or 0, duration=options["duration"] or 0,
                end=opened.stop if opened.place else None,
                # Views keep a cell that two traced nodes saw from being written twice.
                views=None if writer is None or options["each_node"] else self._views(opened, writer.takes_packets),
                tally=shower.tally if isinstance(shower, StatisticsShower) else None,
                drawn=shower.packets if isinstance(shower, LadderShower) else None)
            stack.enter_context(_stopping(opened.stop))
            if opened.place:
                _tell(f"listening on {opened.place}; Ctrl-C ends it")
            with contextlib.suppress(StoppedReading):
                tracer.run()
            if shower is not None:
                shower.close()
                shower.flush()
            for line in summary(tracer.totals, self._level, opened.losses(), writer.summary() if writer else "",
                                shown=shower is not None, takes_frames=keep is None or keep.takes_frames):
                _tell(line)

    @staticmethod
    def _views(opened: Opened, of_packets: bool) -> Views:
        """The node whose view of a link counts; packets on their way over switches count once."""
        return Views(opened.links, opened.passing if of_packets else ())

    def _choice(self) -> Choice:
        options = self._options
        asked = self._asked
        # The lines of PDUs name their sessions, even where the filter does not need sessions.
        wants = asked.wants | {"sessions"} if "cells" in asked.wants and not options["numeric"] else asked.wants
        return Choice(
            places=options["places"], read=options["read"], ports=options["ports"] or (), table=options["table"],
            network=options["network_name"], nni=options["nni"],
            crc=CrcMode(options["crc"]) if options["crc"] else None,
            cells=not self._counts and (
                self._level in ("cell", "all") or options["verbose"] > 1 or options["write"] is not None),
            count_cells=self._counts,
            sessions_only=self._level == "session" and options["write"] is None, wants=frozenset(wants),
            links=asked.links)

    def _writer(self, opened: Opened) -> CaptureWriter:
        options = self._options
        file_format = options["file_format"] or _format_of(options["write"], opened)
        if file_format not in ("pcapng", "ip") and opened.nodes > 1:
            raise AtmdepotError(f"what {opened.nodes} nodes saw would be mixed up in a capture of the format "
                                f"{file_format}: take --format pcapng, or one node with -i")
        return open_writer(
            options["write"], file_format, snap=options["snap"] or 0, files=options["file_count"] or 0,
            max_octets=(options["file_size"] or 0) * 1_000_000, every=options["file_time"] or 0,
            flush_each=options["packet_buffered"], not_over=[options["read"]] if options["read"] else [])

    def _shower(self, opened: Opened) -> Shower:
        options = self._options
        if sys.stdout is None:
            raise AtmdepotError("standard output is closed; write a capture with -w FILE")
        names = self._fields or None
        line_buffered = options["line_buffered"] or sys.stdout.isatty()
        if options["ladder"]:
            return LadderShower(options["output"], self._views(opened, of_packets=True))
        if options["stats"]:
            return StatisticsShower(options["output"])
        if options["output"] != "text":
            return JsonShower(names, array=options["output"] == "json", line_buffered=line_buffered,
                              with_octets=options["hexdump"] or options["textdump"])
        if names:
            return FieldShower(names, heading=options["heading"], line_buffered=line_buffered)
        printer = LinePrinter(Stamp(min(options["stamp"], max(Stamp))), nodes=opened.nodes != 1,
                              names=not options["numeric"], quick=options["quick"])
        hex_text = True if options["textdump"] else False if options["hexdump"] else None
        return LineShower(printer, tree=self._tree(), hex_text=hex_text, snap=options["snap"] or 0,
                          color=_wants_color(options["color"]), line_buffered=line_buffered)

    def _tree(self) -> Callable[[Any], str] | None:
        verbose = self._options["verbose"]
        if not verbose:
            return None
        from atmdepot.trace.show.tree import tree_text

        return lambda item: tree_text(item, cells=verbose > 1)


def _format_of(path: Path, opened: Opened) -> str:
    """Capture format by a file's name; only pcapng keeps several nodes apart."""
    return "pcapng" if path.suffix == ".pcapng" or opened.nodes > 1 else "erf"


def _wants_color(when: str) -> bool:
    return when == "always" or (when == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


@contextlib.contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the source and show the items read so far; a second signal ends the run at once."""
    def stopped(number: int, _: object) -> None:
        signal.signal(number, signal.default_int_handler)
        stop()

    before = {number: signal.signal(number, stopped) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(line: str) -> None:
    click.echo(f"atmdepot: {line}", err=True)
