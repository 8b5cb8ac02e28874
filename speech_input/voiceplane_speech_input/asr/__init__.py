"""Speech recognition (ASR)."""
