"""SplitMix64 (Steele, Lea and Flood, 2014): its finalizer, as a hash of numbers."""

from __future__ import annotations

GAMMA = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: the step of SplitMix64 from one number to the next."""
_MASK, _MIX_1, _MIX_2 = 2**64 - 1, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix64(number: int) -> int:
    """A hash of a number, both of 64 bits."""
    mixed = number & _MASK
    mixed = (mixed ^ mixed >> 30) * _MIX_1 & _MASK
    mixed = (mixed ^ mixed >> 27) * _MIX_2 & _MASK
    return mixed ^ mixed >> 31
