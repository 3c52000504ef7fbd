"""The lab: a VC table as a network of namespaces on one machine, with a client and real web servers."""

from atmdepot.lab.testbed import Lab

__all__ = ["Lab"]
