"""Segments a stream of text for the model."""
