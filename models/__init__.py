"""Tensors: preprocessing, vision tower, compressors, the video LLM, its engine and its trainer."""
