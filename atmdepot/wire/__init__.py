"""Octets to values and back: pure functions and small values, no state, no clock."""
