"""What the model takes of a recording: speech tokens, mel frames and the speaker's embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr
import torch
import torchaudio.compliance.kaldi
import whisper.audio
from voiceplane_family_kit.onnx_session import open_session
from voiceplane_worker.adapters.options import broken

from voiceplane_family_cosyvoice2 import library
from voiceplane_family_cosyvoice2.configuration import Call, ConfigurationError

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_cosyvoice2.configuration import Configuration

TOKENIZER, EMBEDDER = "speech_tokenizer_v2.onnx", "campplus.onnx"
HEARING_RATE_HZ = 16_000
SHORTEST_S, LONGEST_S = 0.5, 30.0
MEL = "matcha.utils.audio.mel_spectrogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was heard in a recording.

    Attributes:
        tokens: Shape (1, n), int32.
        frames: Mel frames, shape (1, n times the flow's ratio, 80).
        embedding: Shape (1, 192).
    """

    tokens: torch.Tensor
    frames: torch.Tensor
    embedding: torch.Tensor


def hear(
    pack: VoicePack,
    samples: Samples,
    *,
    sample_rate_hz: int,
    frames_per_token: int,
    configuration: Configuration,
    threads: int,
) -> Heard:
    """Listen to a recording, once for a voice. Blocking.

    The two ONNX models are read for this and not kept: the larger one has 500 MB. They run on the CPU.

    Raises:
        ConfigurationError: The configuration does not say how mel frames are made.
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: the recording is too short or too long, or a model is
            missing.
    """
    seconds = samples.size / sample_rate_hz
    if not SHORTEST_S <= seconds <= LONGEST_S:
        message = f"its recording of {seconds:.1f} s must have {SHORTEST_S} to {LONGEST_S:.0f} s: 3 to 10 are best"
        raise broken(pack, message, field="reference")
    waves = torch.from_numpy(np.ascontiguousarray(samples))[None]
    heard = torch.from_numpy(soxr.resample(samples, sample_rate_hz, HEARING_RATE_HZ))[None]
    with torch.inference_mode():
        tokens = _tokens(pack, heard, threads)
        embedding = _embedding(pack, heard, threads)
        frames = _frames(waves, configuration)
    count = min(frames.shape[1] // frames_per_token, tokens.shape[1])
    if not count:
        raise broken(pack, f"{TOKENIZER} hears no speech tokens in its recording", field="reference")
    return Heard(tokens=tokens[:, :count], frames=frames[:, : count * frames_per_token], embedding=embedding)


def _tokens(pack: VoicePack, heard: torch.Tensor, threads: int) -> torch.Tensor:
    features = whisper.audio.log_mel_spectrogram(heard, n_mels=128).numpy()
    length = np.array([features.shape[2]], dtype=np.int32)
    return torch.from_numpy(_run(pack, TOKENIZER, [features, length], threads).reshape(1, -1).astype(np.int32))


def _embedding(pack: VoicePack, heard: torch.Tensor, threads: int) -> torch.Tensor:
    features = torchaudio.compliance.kaldi.fbank(heard, num_mel_bins=80, dither=0, sample_frequency=HEARING_RATE_HZ)
    features = features - features.mean(dim=0, keepdim=True)
    return torch.from_numpy(_run(pack, EMBEDDER, [features[None].numpy()], threads).reshape(1, -1))


def _frames(waves: torch.Tensor, configuration: Configuration) -> torch.Tensor:
    entry = configuration.value("feat_extractor")
    if not isinstance(entry, Call) or entry.name != MEL:
        raise ConfigurationError(f"feat_extractor must be !name:{MEL}")
    # The library keeps filters by the highest frequency alone, so that another model's of other sizes would be taken.
    library.matcha_audio.mel_basis.clear()
    extract = configuration.make("feat_extractor", {MEL: lambda **options: options})
    frames: torch.Tensor = library.matcha_audio.mel_spectrogram(waves, **extract)
    return frames.transpose(1, 2)


def _run(pack: VoicePack, name: str, inputs: list[Any], threads: int) -> Any:
    file = pack.path / name
    if not file.is_file():
        raise broken(pack, f"{name} is missing: a voice can't be cloned from a recording without it")
    try:
        session = open_session(str(file), device="cpu", threads=threads)
        names = [entry.name for entry in session.get_inputs()]
        return session.run(None, dict(zip(names, inputs, strict=True)))[0]
    except Exception as error:  # onnxruntime's errors have no base class of their own
        problem = " ".join(str(error).split())[:300]
        raise broken(pack, f"{name} can't be run: {problem}", field=name) from None
