"""The Voiceplane operator: declared voices become worker pods that speak."""
