"""Benchmarks: `atmdepot bench peers` measures the depot beside other common load balancers."""
