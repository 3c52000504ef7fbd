"""Management agents of nodes: rows, counters, metrics, readiness and commands, a class for each kind of node."""
