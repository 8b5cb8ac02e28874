"""python -m voiceplane_orchestrator."""

from voiceplane_orchestrator.main import main

main()
