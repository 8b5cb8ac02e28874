"""CosyVoice 2 (https://github.com/FunAudioLLM/CosyVoice) by its own parts, streamed token by token."""
