"""The patent's experiment (pages 13 to 15), repeated, and its prior art on the same servers."""
