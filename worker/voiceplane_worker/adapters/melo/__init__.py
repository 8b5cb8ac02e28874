"""MeloTTS (https://github.com/myshell-ai/MeloTTS), streamed: its decoder runs over windows of a sentence."""
