"""The voices of a pack: of its recording, of spk2info.pt, or of no one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from voiceplane_family_kit.reference import reference_of
from voiceplane_worker.adapters.options import broken

from voiceplane_family_cosyvoice2.frontend import hear

if TYPE_CHECKING:
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_cosyvoice2.configuration import Configuration
    from voiceplane_family_cosyvoice2.options import CosyVoice2Options
    from voiceplane_family_cosyvoice2.parts import Parts

SPEAKERS = "spk2info.pt"
END_OF_INSTRUCTION = "<|endofprompt|>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What goes before the text to give it a voice; computed once for a voice, and on the model's device.

    Attributes:
        text: Text tokens, shape (1, n): what the recording says, or how to speak.
        said: Speech tokens of the recording for the language model, shape (1, n).
        tokens: Those for the flow, shape (1, n).
        frames: Their mel frames, shape (1, n times the flow's ratio, 80).
        embedding: The speaker's, shape (1, 192).
    """

    text: torch.Tensor
    said: torch.Tensor
    tokens: torch.Tensor
    frames: torch.Tensor
    embedding: torch.Tensor

    @property
    def memory_bytes(self) -> int:
        """What it holds."""
        return sum(each.nbytes for each in (self.text, self.said, self.tokens, self.frames, self.embedding))


def prompts_of(
    pack: VoicePack, options: CosyVoice2Options, parts: Parts, *, configuration: Configuration, threads: int
) -> dict[str, Prompt]:
    """The prompts by the names of the pack's voices. Blocking.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: a voice is of a language that the weights do not speak, or
            there is nothing that it could sound like.
    """
    _check_languages(pack, options)
    reference = reference_of(
        pack, reference_text=options.reference_text, sample_rate_hz=parts.sample_rate_hz, text_needed=False
    )
    if reference is None:
        prompts = _speakers(pack, options, parts)
    else:
        heard = hear(
            pack,
            reference.samples,
            sample_rate_hz=parts.sample_rate_hz,
            frames_per_token=parts.flow.token_mel_ratio,
            configuration=configuration,
            threads=threads,
        )
        prompt = Prompt(
            text=_text_tokens(parts, reference.text),
            # Across languages the language model hears nothing of the recording: only the flow does.
            said=heard.tokens if reference.text else heard.tokens[:, :0],
            tokens=heard.tokens,
            frames=heard.frames,
            embedding=heard.embedding,
        )
        prompts = {pack.metadata.voices[0].name: prompt}
    if options.instruct_text:
        instruction = _text_tokens(parts, options.instruct_text + END_OF_INSTRUCTION)
        prompts = {name: replace(prompt, text=instruction, said=prompt.said[:, :0]) for name, prompt in prompts.items()}
    for name, prompt in prompts.items():
        _check_sizes(pack, name, prompt, parts)
    return {name: _on_device(prompt, parts) for name, prompt in prompts.items()}


def _check_languages(pack: VoicePack, options: CosyVoice2Options) -> None:
    known = [each.strip() for each in options.languages.split(",")]
    for voice in pack.metadata.voices:
        if voice.language.partition("-")[0].lower() not in known:
            message = (
                f"voice {voice.name!r} speaks {voice.language!r}, and the weights only {', '.join(known)}: correct it, "
                "or name what these weights speak in options.languages"
            )
            raise broken(pack, message, field="voices")


def _check_sizes(pack: VoicePack, name: str, prompt: Prompt, parts: Parts) -> None:
    """Refuse now what would fail in the midst of speech, and on a GPU end all of its work."""
    count = prompt.tokens.shape[1]
    for tokens in (prompt.said, prompt.tokens):
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < parts.flow.vocab_size:
            message = f"voice {name!r} has speech tokens that the model does not know: it has {parts.flow.vocab_size}"
            raise broken(pack, message, field="files")
    wanted = (1, count * parts.flow.token_mel_ratio, parts.flow.output_size)
    if prompt.frames.shape != wanted or count >= parts.most_tokens:
        found = tuple(prompt.frames.shape)
        message = f"voice {name!r} has {count} speech tokens and mel frames of {found}, which must be {wanted}"
        raise broken(pack, message, field="files")


def _speakers(pack: VoicePack, options: CosyVoice2Options, parts: Parts) -> dict[str, Prompt]:
    known = _read_speakers(pack)
    size = parts.flow.spk_embed_affine_layer.in_features
    prompts = {}
    for voice in pack.metadata.voices:
        entry = known.get(voice.name)
        if entry is None and not options.average_voice:
            message = (
                f"there is nothing that voice {voice.name!r} could sound like: give the pack a reference, a recording "
                f"of 3 to 10 s, or a {SPEAKERS} that has {voice.name!r}, or set options.average_voice"
            )
            raise broken(pack, message, field="reference")
        prompts[voice.name] = _prompt_of(pack, voice.name, entry or {"embedding": torch.zeros(1, size)}, size)
    return prompts


def _read_speakers(pack: VoicePack) -> dict[str, Any]:
    file = pack.path / SPEAKERS
    if not file.is_file():
        return {}
    entries = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise broken(pack, f"{SPEAKERS} must hold speakers by name", field=SPEAKERS)
    return entries


def _prompt_of(pack: VoicePack, name: str, entry: dict[str, Any], size: int) -> Prompt:
    """A speaker's prompt: an embedding alone, or all that the library's add_zero_shot_spk keeps."""
    nothing = torch.zeros(1, 0, dtype=torch.int32)
    prompt = Prompt(
        text=entry.get("prompt_text", nothing),
        said=entry.get("llm_prompt_speech_token", nothing),
        tokens=entry.get("flow_prompt_speech_token", nothing),
        frames=entry.get("prompt_speech_feat", torch.zeros(1, 0, 80)),
        embedding=entry.get("flow_embedding", entry.get("embedding", nothing)),
    )
    if prompt.embedding.shape != (1, size):
        found = tuple(prompt.embedding.shape)
        raise broken(pack, f"{SPEAKERS}: {name!r} has an embedding of {found}, not of (1, {size})", field=SPEAKERS)
    return prompt


def _text_tokens(parts: Parts, text: str) -> torch.Tensor:
    return torch.tensor([parts.tokenizer.encode(text) if text else []], dtype=torch.int32)


def _on_device(prompt: Prompt, parts: Parts) -> Prompt:
    return Prompt(
        text=prompt.text.to(parts.device),
        said=prompt.said.to(parts.device),
        tokens=prompt.tokens.to(parts.device),
        frames=prompt.frames.to(parts.device),
        embedding=prompt.embedding.to(parts.device),
    )
