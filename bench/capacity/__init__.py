"""How much one worker and one orchestrator hold, and what it is that holds no more."""
