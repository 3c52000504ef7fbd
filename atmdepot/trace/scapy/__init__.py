"""Cells, AAL5 and OAM as Scapy layers."""
