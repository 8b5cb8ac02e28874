"""The WebSocket of docs/websocket.md and the HTTP endpoints beside it."""
