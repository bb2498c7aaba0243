"""Measurements: each module measures one thing and writes `benchmarks/results/*.json`."""
