"""From a stream of tokens to the pieces that a model speaks."""
