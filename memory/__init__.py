"""Notes, vectors, tokens: the record, the index, recall, events and forgetting."""
