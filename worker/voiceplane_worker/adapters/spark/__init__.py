"""Spark-TTS: a language model that writes the words of BiCodec, a codec whose voice is one half of what it encodes."""
