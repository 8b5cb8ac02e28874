"""What to answer: echo, or a language model."""
