"""Where artifacts come from: one module a scheme. Each resolves a URI to something immutable, and lists its files."""
