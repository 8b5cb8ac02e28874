"""From a pool to its manifests. Pure: a spec in, plain objects out."""
