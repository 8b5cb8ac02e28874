"""Voice activity: the probability that a window of audio holds a voice (Silero VAD v6, github.com/snakers4/silero-vad).

The graph comes with faster-whisper's wheel. It processes windows of 32 ms, one after another, so a voice that begins
within a window is often detected only in the next one. Here four lanes process the same stream, each 8 ms after the one
before, and the first lane to detect the voice counts. That halves the median delay, and cuts the longest one by more. A
lane's window takes about 0.05 ms of one core, less than the handover to a thread, so it runs on the event loop.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from voiceplane_speech_input.audio.format import Samples

WINDOW_SAMPLES = 512
"""32 ms at 16 kHz: the window size that the graph was trained with."""

LANES = 4
HOP_SAMPLES = WINDOW_SAMPLES // LANES
"""8 ms: from the end of one frame to the end of the next."""

_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)
_PACKAGE = "faster_whisper"
_GRAPH = "silero_vad_v6.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class VadFrame:
    """A lane's result for its window.

    Attributes:
        start_sample: Position of the window's first sample in the stream; below 0 for the first three of a stream.
        probability: Voice probability, 0 to 1.
        level_dbfs: Its RMS level in dBFS; a full-scale square wave is 0, digital silence is -120.
    """

    start_sample: int
    probability: float
    level_dbfs: float


class VoiceActivityDetector:
    """Detects voice in one stream of 16 kHz audio. All streams share the graph; each has a state of its own."""

    def __init__(self) -> None:
        self._session = _graph()
        self._states = [(np.zeros(_STATE_SHAPE, np.float32), np.zeros(_STATE_SHAPE, np.float32)) for _ in range(LANES)]
        # The last context and window of the stream, then room for the next hop.
        self._recent = np.zeros(_CONTEXT_SAMPLES + WINDOW_SAMPLES + HOP_SAMPLES, np.float32)
        self._hop_filled = 0
        self._hops = 0

    def process(self, samples: Samples) -> list[VadFrame]:
        """The frames that these samples complete.

        Args:
            samples: The next samples of the stream: float32, shape (n,), 16,000 Hz, any n. NaN and infinity count as 0.
        """
        frames: list[VadFrame] = []
        rest = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        while rest.size:
            taken = min(rest.size, HOP_SAMPLES - self._hop_filled)
            start = _CONTEXT_SAMPLES + WINDOW_SAMPLES + self._hop_filled
            self._recent[start : start + taken] = rest[:taken]
            rest = rest[taken:]
            self._hop_filled += taken
            if self._hop_filled == HOP_SAMPLES:
                frames.append(self._run())
        return frames

    def _run(self) -> VadFrame:
        self._recent[:-HOP_SAMPLES] = self._recent[HOP_SAMPLES:].copy()
        self._hop_filled = 0
        lane = self._hops % LANES
        self._hops += 1
        state_h, state_c = self._states[lane]
        probabilities, state_h, state_c = self._session.run(
            None, {"input": self._recent[np.newaxis, :-HOP_SAMPLES], "h": state_h, "c": state_c}
        )
        self._states[lane] = (state_h, state_c)
        window = self._recent[_CONTEXT_SAMPLES:-HOP_SAMPLES]
        power = float(np.dot(window, window)) / WINDOW_SAMPLES
        return VadFrame(
            start_sample=self._hops * HOP_SAMPLES - WINDOW_SAMPLES,
            probability=float(probabilities[0]),
            level_dbfs=10 * math.log10(max(power, 1e-12)),
        )


@cache
def _graph() -> onnxruntime.InferenceSession:
    # find_spec does not import the package, which would take seconds.
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0], "assets", _GRAPH) if folders else None
    if path is None or not path.is_file():
        raise failed_precondition(
            "VAD_MISSING", f"the VAD model {_GRAPH} is not installed: pip install 'faster-whisper>=1.2,<2'"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
