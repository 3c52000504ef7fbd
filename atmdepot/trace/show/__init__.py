"""Printers: text, tree, fields, statistics."""
