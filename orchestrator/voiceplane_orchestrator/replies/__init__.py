"""Replies to the user: echo, or a language model (LLM)."""
