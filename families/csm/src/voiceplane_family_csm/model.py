"""Voices of a resident CSM: pieces of text become frames of codes, and each frame becomes sound at once."""

from __future__ import annotations

import functools
import math
import secrets
from typing import TYPE_CHECKING, Any

import torch
from voiceplane_common.errors import invalid, not_found
from voiceplane_family_kit.callback_iterator import iterate
from voiceplane_family_kit.reference import reference_of
from voiceplane_family_kit.special_tokens import without_special_tokens
from voiceplane_family_kit.time_stretch import at_speed
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.adapters.options import broken, read_options

from voiceplane_family_csm.codec import CodecStream
from voiceplane_family_csm.lora import read_lora
from voiceplane_family_csm.options import CsmOptions, speakers_of
from voiceplane_family_csm.resident import BASE, bytes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voiceplane_family_kit.reference import Reference
    from voiceplane_worker.adapters.base import Piece, Samples
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_csm.resident import Resident, Turn


class CsmVoices:
    """The voices of a pack on a resident CSM, the base's own or an adapter's."""

    def __init__(self, resident: Resident, pack: VoicePack, *, adapter: str = BASE, memory_bytes: int) -> None:
        """Prepare.

        Args:
            resident: The weights.
            pack: Says which voices, and how they speak.
            adapter: One that is attached, or BASE.
            memory_bytes: What this pack adds to what is in memory.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
        """
        config = resident.model.config
        self._resident = resident
        self._adapter = adapter
        self._options = read_options(CsmOptions, pack)
        self._speakers = speakers_of(pack, self._options)
        self.sample_rate_hz: int = config.codec_config.sampling_rate
        self._reference = reference_of(
            pack, reference_text=self._options.reference_text, sample_rate_hz=self.sample_rate_hz
        )
        self._frames_per_s: float = config.codec_config.frame_rate
        self.voices = tuple(Voice(name=entry.name, language=entry.language) for entry in pack.metadata.voices)
        self.memory_bytes = memory_bytes

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        """Yield a piece's audio in frames of 80 ms; see Model.synthesize."""
        speaker = self._speakers.get(piece.voice)
        if speaker is None:
            raise not_found("voice", f"unknown voice {piece.voice!r}: use one of {', '.join(self._speakers)}")
        text = without_special_tokens(self._resident.processor.tokenizer, piece.text)
        if not any(character.isalnum() for character in text):
            return
        frames = iterate(functools.partial(self._speak, text, speaker), name="csm")
        yield from at_speed(frames, speed=piece.speed, sample_rate_hz=self.sample_rate_hz)

    def close(self) -> None:
        """Free the adapter; see Model.close."""
        self._resident.detach(self._adapter)

    def _speak(self, text: str, speaker: str, emit: Callable[[Samples], None]) -> None:
        """Generate until the end of the speech, or until emit raises."""
        seed = secrets.randbits(63) if self._options.seed is None else self._options.seed
        turn = self._resident.turn(adapter=self._adapter, seed=seed)
        turn.take()
        try:
            with torch.inference_mode():
                inputs = _prompt(self._resident, text, speaker, self._reference)
                room = self._resident.model.config.max_position_embeddings - inputs["input_ids"].shape[1]
                if room <= 0:
                    raise invalid("text", f"text of {len(text)} characters is too long for this model: make it shorter")
                self._resident.model.generate(
                    **inputs,
                    **self._sampling(),
                    max_new_tokens=min(room, self._most_frames(text)),
                    streamer=_FrameStreamer(self._resident.model, turn, emit),
                )
        finally:
            turn.leave()

    def _most_frames(self, text: str) -> int:
        longest_ms = self._options.longest_ms_besides + self._options.longest_ms_per_character * len(text)
        return max(1, math.ceil(longest_ms / 1000 * self._frames_per_s))

    def _sampling(self) -> dict[str, Any]:
        """What the pack's options say of the sampling, in generate's words."""
        options = {"temperature": self._options.temperature, "top_k": self._options.top_k}
        return {name: value for name, value in options.items() if value is not None}


class CsmModel(CsmVoices):
    """A loaded base. LoRA adapters can be attached to it; see LoraBase."""

    def __init__(self, resident: Resident, pack: VoicePack) -> None:
        super().__init__(resident, pack, memory_bytes=pack.metadata.memory_bytes or resident.memory_bytes)

    def attach(self, pack: VoicePack) -> CsmVoices:
        """Attach an adapter; see LoraBase.attach."""
        config, weights = read_lora(pack)
        try:
            adapter = self._resident.attach(config, weights)
        except ValueError as error:
            problem = f"the adapter does not fit its base: {' '.join(str(error).split())}"
            raise broken(pack, problem, field="base_model_id") from None
        try:
            return CsmVoices(self._resident, pack, adapter=adapter, memory_bytes=bytes_of(weights.values()))
        except BaseException:
            self._resident.detach(adapter)
            raise

    def close(self) -> None:
        """Free the weights; see Model.close."""
        self._resident.close()


class _FrameStreamer:
    """What generate() calls with each frame of codes, in its own thread; it lends the device out between two frames."""

    def __init__(self, model: Any, turn: Turn, emit: Callable[[Samples], None]) -> None:
        self._codec = CodecStream(model.codec_model)
        self._end_code: int = model.config.codebook_eos_token_id
        self._device = model.device
        self._turn = turn
        self._emit = emit
        self._in_speech = False

    def put(self, codes: torch.Tensor) -> None:
        """Take a frame, of shape (1, codebooks); the first call brings the prompt instead."""
        if not self._in_speech:
            self._in_speech = True
            return
        if bool((codes[0, :-1] == self._end_code).all()):
            return
        samples = self._codec.decode(codes[0, :, None].to(self._device))
        self._turn.leave()
        self._emit(samples)  # raises when the speech has been stopped: nothing more is computed then
        self._turn.take()

    def end(self) -> None:
        """Nothing is left to say."""


def _prompt(resident: Resident, text: str, speaker: str, reference: Reference | None) -> Any:
    """The processor's tensors for a text, after the recording that gives the voice, if there is one."""
    turns: list[dict[str, Any]] = [{"role": speaker, "content": [{"type": "text", "text": text}]}]
    if reference is not None:
        said = [{"type": "text", "text": reference.text}, {"type": "audio", "path": reference.samples}]
        turns.insert(0, {"role": speaker, "content": said})
    inputs = resident.processor.apply_chat_template(turns, tokenize=True, return_dict=True)
    return inputs.to(resident.device, dtype=resident.model.dtype)  # that of audio; token ids keep theirs
