"""The commands, a module each; `atmdepot.cli` loads them when they are asked for."""
