"""python -m voiceplane_worker."""

from voiceplane_worker.main import main

main()
