"""The Kubernetes API, as far as the operator uses it."""
