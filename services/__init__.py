"""Processes: wiring, settings, command line, capture and analyse workers, questions and answers."""
