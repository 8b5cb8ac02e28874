"""The plugin's version, as LiveKit Agents logs it."""

__version__ = "0.1.0"
