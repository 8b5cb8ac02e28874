"""The command voiceplane-orchestrator with a recognizer that returns HEARD; run it with `python -m`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest.mock import patch

from voiceplane_orchestrator import app, main

from tests.support.orchestrators import LoudIsVoice, ScriptedRecognizer

if TYPE_CHECKING:
    from voiceplane_orchestrator.settings import OrchestratorSettings


class ScriptedOrchestrator(app.Orchestrator):
    def __init__(self, settings: OrchestratorSettings) -> None:
        super().__init__(settings, recognizer=ScriptedRecognizer(os.environ["HEARD"]), voice_activity=LoudIsVoice)


if __name__ == "__main__":
    with patch.object(main, "Orchestrator", ScriptedOrchestrator):
        main.main()
