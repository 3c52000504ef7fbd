"""`atmdepot graph`: the network of a VC table as a drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atmdepot.commands.writing import FileToWrite, give

if TYPE_CHECKING:
    from pathlib import Path

_ENDINGS = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg"}


@click.command("graph", epilog="""\b
Examples:
  atmdepot graph backbone -w backbone.svg
  atmdepot graph direct --format mermaid
  atmdepot graph mesh --format dot | dot -Tpdf > mesh.pdf
""")
@click.argument("table")
@click.option("--format", "form", type=click.Choice(["mermaid", "dot", "svg"]),
              help="The format of the output; by default that of the file's name, else mermaid.")
@click.option("-w", "--write", type=FileToWrite(allow_dash=True), metavar="FILE",
              help="Write to a file instead of standard output.")
def graph_command(table: str, form: str | None, write: Path | None) -> None:
    """Draw the network of the VC table TABLE.

    The drawing has nodes, links, VPs with their VPIs, servers and services.
    """
    from atmdepot.config.reading import load
    from atmdepot.view.drawings import FORMS
    from atmdepot.view.picture import picture_of

    if form is None and write is not None and str(write) != "-" and write.suffix not in _ENDINGS:
        raise click.UsageError(f"{write}: its name tells no format: end it with {', '.join(_ENDINGS)}, or add --format")
    chosen = form or (_ENDINGS.get(write.suffix, "mermaid") if write is not None else "mermaid")
    give(FORMS[chosen](picture_of(load(table))), write)
