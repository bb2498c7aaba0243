"""The HTTP API: a face on the functions that the commands use."""
