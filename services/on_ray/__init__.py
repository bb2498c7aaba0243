"""Work that is spread over a Ray cluster: the only folder that imports Ray, where it needs it."""
