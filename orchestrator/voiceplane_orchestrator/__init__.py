"""The orchestrator: sessions, turns, ASR, replies, routing and transports."""
