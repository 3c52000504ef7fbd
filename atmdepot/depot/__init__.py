"""The depot; its modules have the names of the blocks in figures 4 and 7 of the patent."""
