"""LiveKit rooms: audio over WebRTC, with the same sessions as over the WebSocket."""
