"""Sessions over a WebSocket, by the protocol of docs/reference/websocket.md."""
