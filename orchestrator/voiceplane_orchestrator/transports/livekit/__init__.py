"""Rooms of a LiveKit server: audio over WebRTC, with the same sessions as over the WebSocket."""
