"""`bench proxies`: the depot's effect on latency and on the origin's load, with a pool of caching proxies."""
