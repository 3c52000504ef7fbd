"""The switch: a node without packets, which leads cells from link to link."""
