"""A thousand workers and a hundred thousand sessions in one process, routed by the orchestrator's own code."""
