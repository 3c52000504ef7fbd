"""The edge node of figure 8, in front of a server."""
