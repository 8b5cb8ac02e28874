"""Routing: which worker serves a session."""
