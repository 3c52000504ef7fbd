"""Capture formats, read and written."""
