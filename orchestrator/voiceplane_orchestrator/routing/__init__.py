"""Which worker serves a session."""
