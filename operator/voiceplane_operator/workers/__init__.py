"""The running workers: what they report, and what they are asked for."""
