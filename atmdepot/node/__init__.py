"""The surface that every node of a network shows to its host: packets and octets in and out, timers, events."""
