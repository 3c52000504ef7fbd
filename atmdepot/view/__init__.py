"""Pictures of a network: drawn from its VC table (`graph`), and live from its daemons (`view`, `top`).

`picture` and `layout` are what there is to draw and where; `drawings` writes it as Mermaid, dot or SVG. `model` is what
is shown of a running network, with the history of a minute; `collector` asks the daemons for it; `web` is the page.
"""
