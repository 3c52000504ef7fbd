"""The edge node of figure 8."""
