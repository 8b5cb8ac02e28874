"""The voices of an XTTS pack: the public model's own speakers, or one that is cloned from a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from voiceplane_family_kit.reference import reference_of
from voiceplane_worker.adapters.options import broken
from voiceplane_worker.adapters.pack_files import invalid_file

from voiceplane_family_xtts.files import SPEAKERS, read_tensors
from voiceplane_family_xtts.text import primary

if TYPE_CHECKING:
    from collections.abc import Collection

    from voiceplane_family_kit.reference import Reference
    from voiceplane_worker.packs.pack import VoicePack

LATENT, EMBEDDING = "gpt_cond_latent", "speaker_embedding"
NAMED_SPEAKERS = 12  # of the 58 that the public model has, in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioning:
    """What makes a voice, computed once.

    Attributes:
        latent: For the GPT: shape (1, count, channels).
        embedding: For the vocoder: shape (1, channels, 1).
    """

    latent: torch.Tensor
    embedding: torch.Tensor


def voices_of(pack: VoicePack, model: Any, config: Any, *, languages: Collection[str]) -> dict[str, Conditioning]:
    """The voices that a pack names, on the model's device. Blocking.

    Args:
        pack: The pack.
        model: The library's Xtts.
        config: Its XttsConfig.
        languages: What it speaks.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
    """
    for voice in pack.metadata.voices:
        if primary(voice.language) not in languages:
            message = f"voice {voice.name!r} can't speak {voice.language!r}: the model speaks {', '.join(languages)}"
            raise broken(pack, message, field="voices")
    reference = reference_of(pack, reference_text="", sample_rate_hz=config.audio.sample_rate, text_needed=False)
    if reference is not None:
        return {pack.metadata.voices[0].name: _clone(pack, model, config, reference)}
    return _speakers(pack, model)


def _speakers(pack: VoicePack, model: Any) -> dict[str, Conditioning]:
    file = pack.path / SPEAKERS
    if not file.is_file():
        raise broken(pack, f"{SPEAKERS} is missing: it holds the voices; or give a reference to clone one from")
    speakers = read_tensors(file)
    voices: dict[str, Conditioning] = {}
    for name in (voice.name for voice in pack.metadata.voices):
        if name not in speakers:
            known = [*map(str, list(speakers)[:NAMED_SPEAKERS]), *(["…"] if len(speakers) > NAMED_SPEAKERS else [])]
            raise broken(pack, f"{SPEAKERS} has no speaker {name!r}, but {', '.join(known)}", field="voices")
        latent, embedding = speakers[name][LATENT], speakers[name][EMBEDDING]
        shapes = (latent.shape[2:], embedding.shape[1:])
        if shapes != ((model.gpt.model_dim,), (model.args.d_vector_dim, 1)):
            raise invalid_file(file, f"has a speaker {name!r} of another model: its shapes are {shapes}")
        voices[name] = Conditioning(
            latent=latent.float().to(model.device), embedding=embedding.float().to(model.device)
        )
    return voices


def _clone(pack: VoicePack, model: Any, config: Any, reference: Reference) -> Conditioning:
    """What the library computes from a file, which it would read by FFmpeg's libraries."""
    rate_hz = config.audio.sample_rate
    samples = reference.samples[: rate_hz * config.max_ref_len].clip(-1.0, 1.0)
    if not np.any(samples):
        raise broken(pack, "the reference is silent", field="reference")
    audio = torch.from_numpy(samples)[None].to(model.device)
    if config.sound_norm_refs:
        audio = audio / audio.abs().max() * 0.75
    try:
        embedding = model.get_speaker_embedding(audio, rate_hz)
        latent = model.get_gpt_cond_latents(
            audio, rate_hz, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
        )
    except RuntimeError as error:  # so it says of less than 0.33 s
        raise broken(pack, f"no voice can be cloned from the reference: {error}", field="reference") from None
    return Conditioning(latent=latent, embedding=embedding)
