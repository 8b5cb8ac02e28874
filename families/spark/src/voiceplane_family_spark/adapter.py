"""The Spark family: loads a model in the layout of the Hugging Face Hub.

Upstream is a repository, and no package. BiCodec, its codec, is taken from flashtts, whose modules are upstream's.
"""

from __future__ import annotations

import itertools
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import transformers
from flashtts.audio.detokenizer.spark_detokenizer import SparkDeTokenizerModel
from safetensors import SafetensorError
from voiceplane_family_kit.reference import reference_of
from voiceplane_family_kit.torch_device import torch_device
from voiceplane_family_kit.torch_loading import loading
from voiceplane_worker.adapters.options import broken, read_options

from voiceplane_family_spark import FAMILY
from voiceplane_family_spark.cloning import tokens_of
from voiceplane_family_spark.codec import Codec, NotStreamableError, reach_of
from voiceplane_family_spark.language_model import LanguageModel
from voiceplane_family_spark.layout import CODEC, SETTINGS, read_codec_part, read_language_model, read_layout
from voiceplane_family_spark.model import SparkModel
from voiceplane_family_spark.options import SparkOptions, refuse_styles
from voiceplane_family_spark.vocabulary import Vocabulary
from voiceplane_family_spark.voices import SAMPLE_TEXTS, Maker, language_of

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import FamilyTraits
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_spark.layout import Layout


UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError, UnpicklingError)


class SparkAdapter:
    """Loads Spark-TTS models. A pack is the model's folder as it is on the Hub."""

    traits: ClassVar[FamilyTraits] = FAMILY.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> SparkModel:
        """Load a model; see Adapter.load. The threads are those of the whole process: torch has no others."""
        where = torch_device(device)
        layout = read_layout(pack)
        _check_languages(pack)
        transformers.utils.logging.disable_progress_bar()
        try:
            with loading(pack, where, threads=threads, unreadable=UNREADABLE):
                return _read(layout, where)
        except NotStreamableError as error:
            raise broken(pack, str(error), field=f"{CODEC}/{SETTINGS}") from None


def _read(layout: Layout, device: torch.device) -> SparkModel:
    """The loaded model with its voices."""
    options = read_options(SparkOptions, layout.pack)
    reference = reference_of(
        layout.pack, reference_text=options.reference_text, sample_rate_hz=layout.sample_rate_hz, text_needed=False
    )
    if reference:
        refuse_styles(layout.pack, options)
    reach_of(layout.codec)  # it may be refused before its weights are read
    decoder = _read_decoder(layout, device)
    model, tokenizer = read_language_model(layout.pack, device=device, dtype=_dtype(device))
    maker = Maker(
        pack=layout.pack,
        options=options,
        vocabulary=Vocabulary(
            tokenizer,
            semantic=decoder.quantizer.codebook_size,
            speaker=decoder.speaker_encoder.quantizer.codebook_size,
            ends=_ends(model),
        ),
        language_model=LanguageModel(model),
        codec=Codec(decoder, layout.codec, device=device),
        speaker_tokens=layout.codec["speaker_encoder"]["token_num"],
    )
    voices = maker.cloned(*tokens_of(reference, layout, device=device)) if reference else maker.made_up()
    parts = itertools.chain.from_iterable((part.parameters(), part.buffers()) for part in (model, decoder))
    memory_bytes = sum(tensor.nbytes for tensors in parts for tensor in tensors)
    return SparkModel(
        maker,
        voices,
        sample_rate_hz=layout.sample_rate_hz,
        memory_bytes=layout.pack.metadata.memory_bytes or memory_bytes,
    )


def _read_decoder(layout: Layout, device: torch.device) -> Any:
    """The codec's decoder, without what only recordings need."""
    decoder = read_codec_part(layout, SparkDeTokenizerModel, device=device)
    del decoder.speaker_encoder.speaker_encoder, decoder.speaker_encoder.perceiver_sampler
    return decoder


def _dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU that has it, else float32: this model is beyond what float16 can tell."""
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def _ends(model: Any) -> set[int]:
    """The ids that end the speech by the model's configuration."""
    ends: set[int] = set()
    for config in (model.config, model.generation_config):
        found = config.eos_token_id
        ends.update(found if isinstance(found, list) else [found] if found is not None else [])
    return ends


def _check_languages(pack: VoicePack) -> None:
    for voice in pack.metadata.voices:
        if language_of(voice.language) not in SAMPLE_TEXTS:
            message = f"voice {voice.name!r} is to speak {voice.language!r}, and the model speaks en and zh"
            raise broken(pack, message, field="voices")
