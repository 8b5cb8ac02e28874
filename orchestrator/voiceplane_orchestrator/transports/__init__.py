"""How audio and commands reach the orchestrator: HTTP, WebSocket and LiveKit, and what they share."""
