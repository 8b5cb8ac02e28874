"""Parler-TTS (https://github.com/huggingface/parler-tts) by its own library, streamed in windows of its codec."""
