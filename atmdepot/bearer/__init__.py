"""Bearers: how a packet gets from the depot to a server and back."""
