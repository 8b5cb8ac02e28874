"""The package voiceplane.v1."""
