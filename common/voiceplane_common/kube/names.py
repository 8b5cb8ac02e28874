"""The names that the operator and the orchestrator must agree on."""

from __future__ import annotations

GROUP = "voiceplane.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
# An annotation of a TTSWorkerPool whose workers a session has missed: when that was. The orchestrator writes it.
DEMAND_AT = f"{GROUP}/demand-at"
