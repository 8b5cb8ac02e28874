"""Runs a module, which tells on SIGUSR1 what the garbage collector would look at: `python -m … MODULE …`."""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import sys
from pathlib import Path

REPORT = "VOICEPLANE_TEST_HEAP_REPORT"
"""The variable that names the file."""


def _tell(*_: object) -> None:
    report = Path(os.environ[REPORT])
    part = report.with_suffix(".part")
    part.write_text(json.dumps({"left_out": gc.get_freeze_count(), "looked_at": len(gc.get_objects())}))
    part.replace(report)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
