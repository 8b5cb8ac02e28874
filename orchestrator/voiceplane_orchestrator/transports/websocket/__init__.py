"""The WebSocket of docs/reference/websocket.md and the HTTP endpoints beside it."""
