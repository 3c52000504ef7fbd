"""The lab: a VC table's network in namespaces on a machine, with a client and real web servers."""

from atmdepot.lab.testbed import Lab

__all__ = ["Lab"]
