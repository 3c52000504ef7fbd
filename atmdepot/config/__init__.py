"""The VC table: the file that describes a network, with its units and contracts and the rules of a valid table."""
