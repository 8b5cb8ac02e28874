"""Whose turn it is: VAD, endpointing, barge-in."""
