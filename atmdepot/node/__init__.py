"""The interface between a node of a network and its host: packets and octets in and out, timers, events."""
