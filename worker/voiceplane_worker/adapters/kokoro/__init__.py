"""Kokoro (https://huggingface.co/hexgrad/Kokoro-82M), spoken piece by piece: its vocoder can't begin before its end."""
