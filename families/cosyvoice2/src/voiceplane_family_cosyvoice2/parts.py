"""The three models of a CosyVoice 2: speech tokens from text, mel frames from tokens, and samples from mel frames."""

from __future__ import annotations

import functools
import itertools
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode
from voiceplane_worker.adapters.options import broken

from voiceplane_family_cosyvoice2 import library
from voiceplane_family_cosyvoice2.configuration import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_cosyvoice2.configuration import Configuration

BACKBONE = "CosyVoice-BlankEN"
"""The folder with the configuration of the language model and with the tokenizer."""
POSITIONS = 3_000
"""Of which encodings are kept: a minute of mel frames. The library makes more when they are needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What speaks. Use it within a turn.

    Attributes:
        llm: A Qwen2LM.
        flow: A CausalMaskedDiffWithXvec.
        hift: A HiFTGenerator.
        tokenizer: A QwenTokenizer.
        sample_rate_hz: Of what hift makes.
        chunk_tokens: The number of speech tokens that the flow was trained to take at once.
        device: Where the weights are.
        dtype: Their precision; the vocoder's is always float32.
    """

    llm: Any
    flow: Any
    hift: Any
    tokenizer: Any
    sample_rate_hz: int
    chunk_tokens: int
    device: torch.device
    dtype: torch.dtype

    @property
    def frame_samples(self) -> int:
        """The samples of a mel frame."""
        return int(self.hift.f0_upsamp.scale_factor)

    @property
    def tokens_per_s(self) -> float:
        """The rate of speech tokens."""
        return float(self.sample_rate_hz / (self.frame_samples * self.flow.token_mel_ratio))

    @property
    def most_tokens(self) -> int:
        """The speech tokens that the flow can take, with those of a prompt."""
        return int(self.flow.decoder.rand_noise.shape[2] // self.flow.token_mel_ratio)

    @property
    def memory_bytes(self) -> int:
        """What the weights hold; tensors that share their storage count once."""
        modules = (self.llm, self.flow, self.hift)
        tensors = itertools.chain(*((*module.parameters(), *module.buffers()) for module in modules))
        noise: torch.Tensor = self.flow.decoder.rand_noise
        sizes = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in (*tensors, noise)}
        return sum(sizes.values())


def read_parts(pack: VoicePack, configuration: Configuration, device: torch.device) -> Parts:
    """Make the models as the configuration says, and read their weights. Blocking.

    They are made without memory, and the weights that are read become theirs: nothing is initialized by chance, so
    that no random numbers of the process are drawn while others speak.

    Raises:
        ConfigurationError: The configuration is not of such a model.
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: weights are missing or do not fit.
    """
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    with torch.device("meta"), _Undrawn():
        made = {name: configuration.make(name, _callables(pack)) for name in ("llm", "flow", "hift")}
    _check_kinds(made)
    llm, flow, hift = made["llm"], made["flow"], made["hift"]
    _give_weights(pack, llm, "llm", device=device, dtype=dtype)
    _give_weights(pack, flow, "flow", device=device, dtype=dtype)
    _give_weights(pack, hift, "hift", device=device, dtype=torch.float32)
    _give_constants(llm, flow, device)
    tokenizer = library.QwenTokenizer(str(pack.path / BACKBONE))
    words = llm.llm.model.get_input_embeddings().num_embeddings
    if len(tokenizer.tokenizer) > words:
        message = f"{BACKBONE} has a tokenizer of {len(tokenizer.tokenizer)} tokens, and llm knows {words}"
        raise broken(pack, message, field=BACKBONE)
    llm.sampling_ids = functools.partial(_draw, llm.sampling, llm.speech_token_size)
    chunk_tokens = flow.encoder.static_chunk_size
    chunk_tokens = chunk_tokens or flow.decoder.estimator.static_chunk_size // flow.token_mel_ratio
    return Parts(
        llm=llm,
        flow=flow,
        hift=hift,
        tokenizer=tokenizer,
        sample_rate_hz=int(configuration.value("sample_rate")),
        chunk_tokens=chunk_tokens,
        device=device,
        dtype=dtype,
    )


class _Undrawn(TorchFunctionMode):  # type: ignore[misc]  # torch is not there where types are checked
    """Leaves initial weights as they are. The library makes some of them in memory in spite of all."""

    _draws = frozenset(
        {"uniform_", "normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"}
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        values = kwargs or {}
        if getattr(func, "__name__", "") in self._draws:
            return args[0] if args else values["tensor"]
        return func(*args, **values)


def _callables(pack: VoicePack) -> dict[str, Callable[..., Any]]:
    """What a configuration may name, and by which of the library's classes that is made."""

    def backbone(pretrain_path: object = None) -> Any:  # its place is fixed: the file has it empty
        return library.Qwen2Encoder(str(pack.path / BACKBONE))

    return {
        "cosyvoice.llm.llm.Qwen2LM": library.Qwen2LM,
        "cosyvoice.llm.llm.Qwen2Encoder": backbone,
        "cosyvoice.utils.common.ras_sampling": functools.partial(functools.partial, library.ras_sampling),
        "cosyvoice.flow.flow.CausalMaskedDiffWithXvec": library.CausalMaskedDiffWithXvec,
        "cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder": library.UpsampleConformerEncoder,
        "cosyvoice.flow.flow_matching.CausalConditionalCFM": library.CausalConditionalCFM,
        "cosyvoice.flow.decoder.CausalConditionalDecoder": library.CausalConditionalDecoder,
        "cosyvoice.hifigan.generator.HiFTGenerator": library.HiFTGenerator,
        "cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor": library.ConvRNNF0Predictor,
        "omegaconf.DictConfig": library.DictConfig,
    }


def _check_kinds(made: dict[str, Any]) -> None:
    wanted = {"llm": library.Qwen2LM, "flow": library.CausalMaskedDiffWithXvec, "hift": library.HiFTGenerator}
    for name, kind in wanted.items():
        if not isinstance(made[name], kind):
            raise ConfigurationError(f"makes {name} a {type(made[name]).__name__}, and it must be a {kind.__name__}")


def _give_weights(pack: VoicePack, module: Any, name: str, *, device: torch.device, dtype: torch.dtype) -> None:
    """Read a model's weights, from safetensors if the pack has them so."""
    file = pack.path / f"{name}.safetensors"
    if not file.is_file():
        file = pack.path / f"{name}.pt"
    if not file.is_file():
        raise broken(pack, f"{file.name} is missing: a pack is the model's folder on the Hub")
    weights = {
        # A vocoder that was saved in its training has its discriminators' prefix.
        key.replace("generator.", "") if name == "hift" else key: value.to(device, dtype, copy=True)
        for key, value in _read_weights(pack, file).items()
    }
    weights.pop("llm.model.lm_head.weight", None)  # see library.Qwen2Encoder
    result = module.load_state_dict(weights, strict=False, assign=True)
    if result.missing_keys or result.unexpected_keys:
        some = (result.missing_keys or result.unexpected_keys)[0]
        message = (
            f"{file.name} lacks {len(result.missing_keys)} tensors of cosyvoice2.yaml's {name}, and has "
            f"{len(result.unexpected_keys)} that it has no place for, such as {some}"
        )
        raise broken(pack, message, field=file.name)
    module.requires_grad_(False).eval()


def _read_weights(pack: VoicePack, file: Path) -> dict[str, torch.Tensor]:
    if file.suffix == ".safetensors":
        tensors = load_file(file)
    else:
        tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise broken(pack, f"{file.name} must hold tensors by name", field=file.name)
    return tensors


def _give_constants(llm: Any, flow: Any, device: torch.device) -> None:
    """Compute what no file of weights has: the models were made without memory."""
    for module in llm.modules():
        if hasattr(module, "inv_freq"):
            frequencies, module.attention_scaling = module.rope_init_fn(module.config, device)
            module.register_buffer("inv_freq", frequencies, persistent=False)
            module.original_inv_freq = frequencies
    for module in flow.modules():
        if isinstance(module, library.EspnetRelPositionalEncoding):
            module.pe = None
            module.extend_pe(torch.zeros(1, POSITIONS, device=device))
    flow.decoder.rand_noise = library.noise(flow.decoder.rand_noise.shape).to(device)


def _draw(
    sampling: Callable[..., torch.Tensor],
    end: int,
    scores: torch.Tensor,
    decoded: list[int],
    top: int,
    ignore_eos: bool = True,  # the library's signature
) -> torch.Tensor:
    """Draw a token, on the CPU.

    The library draws until it is not the end, and after 100 times it raises; here the end can't be drawn then. And it
    compares scores one by one, which on a GPU waits for it as often.
    """
    scores = scores.float().cpu()
    if ignore_eos:
        scores[end] = -torch.inf
    return sampling(scores, decoded, top)
