"""What Voiceplane's speed is, measured beside its peer in one run. `just bench`, or `python -m bench`."""
