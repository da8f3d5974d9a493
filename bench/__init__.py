"""Benchmarks: how fast the gateway is, measured against doing next to nothing, in the same run."""
