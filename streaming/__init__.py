"""Bytes and time: sources, capture, segments, decoding, sampling, the bus and the wire types."""
