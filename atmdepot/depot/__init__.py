"""The depot; its modules carry the names of the blocks in the figures 4 and 7 of the patent."""
