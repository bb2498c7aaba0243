"""Learning from captured footage."""
