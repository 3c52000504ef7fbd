"""Pictures of a network: drawn from its VC table (`graph`), and live from its daemons (`view`, `top`).

`picture` says what to draw, `layout` where, and `drawings` writes it as Mermaid, dot or SVG. `model` is the state of a
running network, with the history of a minute. `collector` asks the daemons for it, and `web` is the page.
"""
