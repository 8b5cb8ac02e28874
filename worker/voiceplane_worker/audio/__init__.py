"""From a model's samples to frames: resampling, loudness, framing, pacing."""
