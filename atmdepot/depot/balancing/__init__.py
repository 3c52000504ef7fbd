"""Block 44: the choice of the server for the next session.

A balancer chooses among the servers of a pool that may take a session (on the alive-list, not draining, below their
bound). A criterion that reads the client's address is `keyed`: it cannot choose ahead, so its pool has no preloaded
server.

A new criterion takes a module here with its class, a row in `registry.py`, and its name in `config/pools.py`. The first
paragraph of the class's docstring goes into the documentation (`docs/make_criteria.py`). A module without a `.pxd`
works too, only slower.

The data path waits for each choice, so a choice reads each server once at most. Tables are built when the pool changes.
"""
