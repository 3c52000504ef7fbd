"""Benchmarks: `atmdepot bench peers` measures the depot beside the balancers that people would pick instead."""
