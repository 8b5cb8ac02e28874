"""The voiceplane command."""
