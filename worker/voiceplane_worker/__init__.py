"""The worker: one gRPC ABI over every text-to-speech family."""
