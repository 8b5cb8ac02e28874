"""Voice activity detection: which parts of the audio are speech."""
