"""The LiveKit plugin without its extra `stt`."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
for name in ("soxr", "onnxruntime", "faster_whisper", "voiceplane_speech_input", "voiceplane_orchestrator"):
    sys.modules[name] = None  # an import of it raises ImportError
from livekit.plugins import voiceplane
assert voiceplane.TTS(worker="127.0.0.1:1").provider == "voiceplane"
for feature in (voiceplane.STT, voiceplane.VAD):
    try:
        feature()
    except Exception as error:
        print(feature.__name__, error.reason, "[stt]" in error.message)
"""


def test_the_plugin_imports_without_the_extra_and_names_it_when_stt_or_vad_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["STT EXTRA_MISSING True", "VAD EXTRA_MISSING True"]
