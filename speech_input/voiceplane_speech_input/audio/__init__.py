"""The user's audio: decoding, resampling and a ring buffer."""
