"""Speaking through a worker, across its death."""
