"""The Kubernetes API, for the programs that watch it."""
