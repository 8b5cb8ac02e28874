from __future__ import annotations

import subprocess
import sys

FORBIDDEN = ("voiceplane_orchestrator", "voiceplane_worker", "sounddevice", "onnxruntime", "faster_whisper")
SCRIPT = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {FORBIDDEN!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import voiceplane_cli.main
"""


def test_the_command_starts_where_only_the_cli_is_installed() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
