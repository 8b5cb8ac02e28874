"""TTS families, one module or folder each, behind one small interface (base.py)."""
