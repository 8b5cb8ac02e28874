"""Which models are resident, and why."""
