"""Bearers: the transport of packets between the depot and a server."""
