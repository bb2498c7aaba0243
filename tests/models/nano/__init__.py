"""Tests of the small world and of the model trained on it."""
