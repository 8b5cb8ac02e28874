"""Which families' own tests can run in this environment."""

from __future__ import annotations

from pathlib import Path

from voiceplane_worker.adapters import registry

HERE = {traits.name for traits in registry.traits()}

# The others run in environments of their own: test_families.py.
collect_ignore = [str(folder) for folder in (Path(__file__).parent / "families").glob("*/") if folder.name not in HERE]
