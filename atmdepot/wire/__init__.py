"""Codecs: pure functions from octets to values and back. They keep no state and read no clock."""
