"""Which families' own tests can run in this environment."""

from __future__ import annotations

from pathlib import Path

from voiceplane_worker.adapters import plugins

from families.manifests import read_manifests

HERE = {traits.name for traits in plugins.traits()}

# The others run in environments of their own: tests/contract/test_families.py.
collect_ignore = [str(Path(__file__).parent / name) for name in read_manifests() if name not in HERE]
