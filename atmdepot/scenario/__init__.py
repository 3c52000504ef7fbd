"""Scenarios: named steps on a VC table, each with the figures expected of it; `atmdepot lab run` carries them out."""
