"""Voice packs: layout, metadata and where they come from."""
