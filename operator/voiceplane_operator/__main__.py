"""python -m voiceplane_operator."""

from voiceplane_operator.main import main

main()
