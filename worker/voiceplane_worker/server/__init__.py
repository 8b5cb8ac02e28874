"""The gRPC server of the worker."""
