"""Where workers of several hosts register, and orchestrators find them: a few keys of a Redis (docs/multi-host.md)."""
