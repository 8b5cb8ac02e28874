"""Sessions and their utterances."""
