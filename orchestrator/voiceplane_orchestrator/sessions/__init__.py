"""A conversation from hello to goodbye."""
