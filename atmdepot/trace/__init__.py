"""Captures of cells and PDUs."""
