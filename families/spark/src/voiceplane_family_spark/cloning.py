"""From a recording to BiCodec's tokens: who speaks, and what is said. The models for it are freed when that is done."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from flashtts.audio.tokenizer.spark_tokenizer import SparkTokenizerModel
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from voiceplane_family_spark.layout import FEATURES, check_complete, read_codec_part

if TYPE_CHECKING:
    from voiceplane_family_kit.reference import Reference
    from voiceplane_worker.adapters.base import Samples

    from voiceplane_family_spark.layout import Layout

# The layers of wav2vec 2.0 whose mean the codec encodes.
FEATURE_LAYERS = (11, 14, 16)
# The tables of torchaudio's spectrogram: made from the configuration, and not among the weights.
COMPUTED = "mel_transformer."

# Loudness as upstream evens it out: see even_loudness.
AUDIBLE, LEAST_PEAK, LEVEL = 0.01, 0.1, 0.2


def tokens_of(reference: Reference, layout: Layout, *, device: torch.device) -> tuple[list[int], list[int]]:
    """A recording's global tokens, and its semantic ones if what it says is known. Blocking.

    Raises:
        OSError, ValueError, RuntimeError: A model that is needed for it can't be read.
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: its weights are incomplete.
    """
    samples = even_loudness(reference.samples) if layout.even_loudness else reference.samples
    model = read_codec_part(layout, SparkTokenizerModel, computed=COMPUTED, device=device)
    with torch.inference_mode():
        clip = torch.from_numpy(speaker_clip(samples, layout.clip_samples))[None].to(device)
        mel = model.mel_transformer(clip).transpose(1, 2)
        speaker = model.speaker_encoder.tokenize(mel)[0, 0].tolist()
        if not reference.text:
            return speaker, []
        features = _features(samples, layout, device=device)
        return speaker, model.quantizer.tokenize(model.encoder(features.transpose(1, 2)))[0].tolist()


def speaker_clip(samples: Samples, size: int) -> Samples:
    """The part of a recording that says who speaks: its beginning, again and again if it is short."""
    return np.tile(samples, math.ceil(size / samples.size))[:size]


def even_loudness(samples: Samples) -> Samples:
    """A recording at the level that the codec was trained with, as upstream does it.

    Its loud samples, from the 90th to the 99th hundredth of those that are audible, get the mean LEVEL. Quiet ones are
    brought there, too; upstream measures them before it amplifies them, and makes them too loud.
    """
    peak = float(np.abs(samples).max())
    if peak < LEAST_PEAK:
        samples = samples * (LEAST_PEAK / max(peak, 1e-3))
    levels = np.sort(np.abs(samples))
    audible = levels[levels > AUDIBLE]
    if audible.size <= 10:
        return samples.astype(np.float32)
    loud = float(np.mean(audible[int(0.9 * audible.size) : int(0.99 * audible.size)]))
    samples = samples * np.clip(LEVEL / loud, 0.1, 10.0)
    return (samples / max(1.0, float(np.abs(samples).max()))).astype(np.float32)


def _features(samples: Samples, layout: Layout, *, device: torch.device) -> torch.Tensor:
    """What wav2vec 2.0 hears, shape (1, tokens, width)."""
    folder = layout.pack.path / FEATURES
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
    # The public weights are a pickle, which transformers reads as tensors alone (weights_only).
    model, report = Wav2Vec2Model.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
    )
    check_complete(layout.pack, FEATURES, report["missing_keys"])
    model.to(device).eval()
    values = extractor(samples, sampling_rate=layout.sample_rate_hz, return_tensors="pt").input_values.to(device)
    layers = model(values, output_hidden_states=True).hidden_states
    features: torch.Tensor = sum(layers[layer] for layer in FEATURE_LAYERS) / len(FEATURE_LAYERS)
    return features
