"""A typed asyncio client of the worker ABI, shared by the orchestrator, the operator and the CLI."""
