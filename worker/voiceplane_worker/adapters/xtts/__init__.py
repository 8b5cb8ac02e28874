"""XTTS-v2 (https://huggingface.co/coqui/XTTS-v2) by coqui-tts, streamed from its GPT and its vocoder."""
