"""The cell handling of an ATM node, without sockets or clock."""
