"""The running workers: their reported state, and the calls that load and unload their models."""
