"""Learning from captured footage: data sets, training, measuring, and changing the weights."""
