"""Workers of several hosts register in a Redis, where orchestrators find them (docs/how-to/several-hosts.md)."""
