"""The Piper family: loads a voice, turns text into phoneme ids as piper-tts does, and streams the audio."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from piper import PiperVoice
from piper.config import PiperConfig
from piper.const import BOS, EOS, PAD
from voiceplane_common.errors import not_found
from voiceplane_common.logs import get_logger
from voiceplane_family_kit.onnx_session import check_device, open_session
from voiceplane_family_kit.time_stretch import at_speed, split_speed
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.adapters.memory import release_leftovers, release_memory
from voiceplane_worker.adapters.pack_files import invalid_file, one_line, pack_file

from voiceplane_family_piper import FAMILY
from voiceplane_family_piper.graph import CannotSplitError, split
from voiceplane_family_piper.streaming import SplitVoice, WholeVoice

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from voiceplane_family_kit.onnx_session import Tensors
    from voiceplane_worker.adapters.base import FamilyTraits, Piece, Samples
    from voiceplane_worker.packs.pack import VoicePack

_log = get_logger("piper")

# Phoneme ids that a loaded voice is tried on; enough for the encoder to give more than a few latents.
TRIAL_IDS = 32


class PiperAdapter:
    """Loads Piper voices. A pack names two files: "model" (ONNX) and "config" (JSON)."""

    traits: ClassVar[FamilyTraits] = FAMILY.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> PiperModel:
        """Load a voice; see Adapter.load."""
        check_device(device)
        model_file, config_file = pack_file(pack, "model"), pack_file(pack, "config")
        config = _read_config(config_file)
        speakers = _speakers(pack, config, config_file)
        try:
            voice, weight_bytes = _open_voice(model_file, config, device=device, threads=threads)
        finally:
            release_leftovers()  # the graph that was cut
        return PiperModel(
            voice,
            config=config,
            voices=tuple(Voice(name=entry.name, language=entry.language) for entry in pack.metadata.voices),
            speakers=speakers,
            memory_bytes=pack.metadata.memory_bytes or weight_bytes,
        )


class PiperModel:
    """A loaded voice."""

    def __init__(
        self,
        voice: SplitVoice | WholeVoice,
        *,
        config: PiperConfig,
        voices: tuple[Voice, ...],
        speakers: dict[str, int],
        memory_bytes: int,
    ) -> None:
        self._voice: SplitVoice | WholeVoice | None = voice
        self._config = config
        self._phonemizer = _phonemizer(config)
        self._speakers = speakers
        self.sample_rate_hz: int = config.sample_rate
        self.voices = voices
        self.memory_bytes = memory_bytes

    @property
    def streaming(self) -> bool:
        """Whether audio leaves before a sentence is complete: the voice could be split."""
        return isinstance(self._voice, SplitVoice)

    def synthesize(self, piece: Piece) -> Generator[Samples]:
        """Yield a piece's audio; see Model.synthesize.

        The samples are the voice's own. piper-tts scales each sentence to a peak of 1 afterwards, which needs the whole
        sentence: loudness is the worker's task here.
        """
        by_model, rest = split_speed(piece.speed)
        return at_speed(self._speak(piece, speed=by_model), speed=rest, sample_rate_hz=self.sample_rate_hz)

    def _speak(self, piece: Piece, *, speed: float) -> Generator[Samples]:
        if piece.voice not in self._speakers:
            raise not_found("voice", f"unknown voice {piece.voice!r}: use one of {', '.join(self._speakers)}")
        if not any(character.isalnum() for character in piece.text):
            return
        for phonemes in self._phonemizer.phonemize(piece.text.replace("\0", " ")):  # espeak takes no NUL
            if any(phoneme.isalnum() for phoneme in phonemes):
                if (voice := self._voice) is None:
                    raise RuntimeError("the model is closed")
                ids = self._phonemizer.phonemes_to_ids(phonemes)
                yield from voice.synthesize(
                    voice_inputs(ids, self._config, speaker=self._speakers[piece.voice], speed=speed)
                )

    def close(self) -> None:
        """Free the sessions."""
        self._voice = None
        release_memory()


def voice_inputs(ids: list[int], config: PiperConfig, *, speaker: int = 0, speed: float = 1.0) -> Tensors:
    """What a Piper graph takes; a voice of one speaker ignores "sid"."""
    return {
        "input": np.array([ids], dtype=np.int64),
        "input_lengths": np.array([len(ids)], dtype=np.int64),
        "scales": np.array([config.noise_scale, config.length_scale / speed, config.noise_w_scale], dtype=np.float32),
        "sid": np.array([speaker], dtype=np.int64),
    }


def trial_ids(config: PiperConfig) -> list[int]:
    """Some phoneme ids, in any order: what they say does not matter."""
    known = [number for numbers in config.phoneme_id_map.values() for number in numbers]
    return (known * TRIAL_IDS)[:TRIAL_IDS]


def _open_voice(file: Path, config: PiperConfig, *, device: str, threads: int) -> tuple[SplitVoice | WholeVoice, int]:
    """The voice and its weights' size in bytes; split if its graph allows."""
    trial = voice_inputs(trial_ids(config), config)
    try:
        return _open_split(file, trial, device=device, threads=threads)
    except CannotSplitError as reason:
        _log.warning("voice can't be split and is spoken sentence by sentence", file=file.name, reason=str(reason))
    try:
        voice = WholeVoice(open_session(str(file), device=device, threads=threads))
        for _ in voice.synthesize(trial):
            pass
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise invalid_file(file, f"can't be run: {one_line(error)}") from None
    return voice, file.stat().st_size


def _open_split(file: Path, trial: Tensors, *, device: str, threads: int) -> tuple[SplitVoice, int]:
    try:
        graph = split(onnx.load(file))
    except (OSError, DecodeError) as error:
        raise invalid_file(file, f"can't be read as ONNX: {one_line(error)}") from None
    try:
        encoder, flow, decoder = (
            open_session(stage.model, device=device, threads=threads)
            for stage in (graph.encoder, graph.flow, graph.decoder)
        )
        voice = SplitVoice(graph, encoder=encoder, flow=flow, decoder=decoder)
        agrees = voice.agrees_with_itself(trial)
    except Exception as error:  # see above; whether the voice is broken or only the cut, the whole graph shows
        raise CannotSplitError(f"its parts can't be run: {one_line(error)}") from None
    if not agrees:
        raise CannotSplitError("its windows differ from the whole")
    return voice, sum(len(stage.model) for stage in (graph.encoder, graph.flow, graph.decoder))


def _read_config(file: Path) -> PiperConfig:
    try:
        config = PiperConfig.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except KeyError as error:
        raise invalid_file(file, f"lacks the key {error}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise invalid_file(file, f"is not a Piper voice's configuration: {one_line(error)}") from None
    rate_hz: object = config.sample_rate  # piper-tts takes what the file says
    if not (isinstance(rate_hz, int) and 8_000 <= rate_hz <= 192_000):
        raise invalid_file(file, f"has audio.sample_rate {rate_hz!r}, which is not 8000 to 192000")
    if not all(config.phoneme_id_map.get(mark) for mark in (BOS, EOS, PAD)):
        raise invalid_file(file, f"has a phoneme_id_map without {BOS!r}, {EOS!r} or {PAD!r}")
    try:
        _phonemizer(config).phonemize("1")  # besides, this loads the phonemizer before a listener waits for it
    except Exception as error:  # each language's phonemizer has errors of its own
        raise invalid_file(
            file, f"names the phonemizer {config.espeak_voice!r}, which fails: {one_line(error)}"
        ) from None
    return config


def _phonemizer(config: PiperConfig) -> PiperVoice:
    """piper-tts's text front end, which needs no session; espeak, a global, is behind a lock of its own there."""
    return PiperVoice(session=None, config=config)


def _speakers(pack: VoicePack, config: PiperConfig, config_file: Path) -> dict[str, int]:
    """The speaker's number for each of the pack's voices."""
    if config.num_speakers <= 1:
        return {voice.name: 0 for voice in pack.metadata.voices}
    known = config.speaker_id_map
    for voice in pack.metadata.voices:
        if voice.name not in known:
            raise invalid_file(config_file, f"has no speaker {voice.name!r} in speaker_id_map, but {', '.join(known)}")
    return {voice.name: known[voice.name] for voice in pack.metadata.voices}
