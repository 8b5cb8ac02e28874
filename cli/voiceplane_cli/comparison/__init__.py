"""One text through several models: how it was spoken, what that cost, and a report of it."""
