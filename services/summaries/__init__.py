"""What happened in a span, in a page: kept by a service, and folded for whoever asks."""
