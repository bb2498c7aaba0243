"""Tests of the rulers that benchmarks measure with."""
