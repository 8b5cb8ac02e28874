"""How audio reaches us and leaves us."""
