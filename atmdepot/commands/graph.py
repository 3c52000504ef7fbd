"""`atmdepot graph`: the network of a VC table as a drawing."""

from __future__ import annotations

from pathlib import Path

import click

from atmdepot.commands.writing import give

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
@click.option("-w", "--write", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write to a file instead of standard output.")
def graph_command(table: str, form: str | None, write: Path | None) -> None:
    """Draw the network of the VC table TABLE.

    The drawing has nodes, links, VPs with their VPIs, servers and services.
    """
    from atmdepot.config.reading import load
    from atmdepot.view.drawings import FORMS
    from atmdepot.view.picture import picture_of

    if form is None and write is not None and write.suffix not in _ENDINGS:
        raise click.UsageError(f"{write}: its name tells no format: end it with {', '.join(_ENDINGS)}, or add --format")
    chosen = form or (_ENDINGS[write.suffix] if write is not None else "mermaid")
    give(FORMS[chosen](picture_of(load(table))), write)
