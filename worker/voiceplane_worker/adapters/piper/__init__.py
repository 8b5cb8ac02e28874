"""Piper voices (https://github.com/OHF-Voice/piper1-gpl), streamed: audio leaves before its sentence is computed."""
