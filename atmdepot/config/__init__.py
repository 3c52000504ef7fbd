"""The VC table: the file that describes a network, its units and contracts, and the rules that it must keep."""
