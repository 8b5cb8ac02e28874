"""A tiny CosyVoice 2 with random weights, in the layout of the Hub; only in the environment of its family.

Its architecture is the real one, with the real library's classes; only its sizes are small, and what it says is noise.
The library fixes the width of the flow's encoder, so that 20 MB are as small as it gets.
"""

from __future__ import annotations

import json
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import Qwen2Config
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode
from voiceplane_family_cosyvoice2 import parts
from voiceplane_family_cosyvoice2.configuration import read_configuration
from voiceplane_worker.packs.metadata import PackMetadata, PackVoice
from voiceplane_worker.packs.pack import VoicePack

if TYPE_CHECKING:
    from pathlib import Path

RATE_HZ, FRAME_SAMPLES, TOKEN_SAMPLES = 24_000, 480, 960
CODES, CHUNK_TOKENS, AHEAD_TOKENS, SPEAKER_SIZE = 64, 25, 3, 192
PICKLES = ("llm.pt", "flow.pt", "hift.pt", "spk2info.pt")
# Without an end that it has learnt, it speaks until the length limit: about as long as the text takes to speak.
OPTIONS = {"longest_ms_per_character": "60", "longest_ms_besides": "80"}
YAML = f"""
__set_seed1: !apply:random.seed [1986]
__set_seed2: !apply:torch.manual_seed [1986]
sample_rate: {RATE_HZ}
llm_input_size: 32
llm_output_size: 32
spk_embed_dim: {SPEAKER_SIZE}
qwen_pretrain_path: ''
token_frame_rate: 25
token_mel_ratio: 2
chunk_size: {CHUNK_TOKENS}
num_decoding_left_chunks: -1

llm: !new:cosyvoice.llm.llm.Qwen2LM
    llm_input_size: !ref <llm_input_size>
    llm_output_size: !ref <llm_output_size>
    speech_token_size: {CODES}
    length_normalized_loss: True
    lsm_weight: 0
    mix_ratio: [5, 15]
    llm: !new:cosyvoice.llm.llm.Qwen2Encoder
        pretrain_path: !ref <qwen_pretrain_path>
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: 0.8
        top_k: 25
        win_size: 10
        tau_r: 0.1
flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithXvec
    input_size: 512
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: {CODES}
    input_frame_rate: !ref <token_frame_rate>
    only_mask_loss: True
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: {AHEAD_TOKENS}
    encoder: !new:cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder
        output_size: 512
        attention_heads: 8
        linear_units: 32
        num_blocks: 1
        dropout_rate: 0.1
        positional_dropout_rate: 0.1
        attention_dropout_rate: 0.1
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        input_size: 512
        use_cnn_module: False
        macaron_style: False
        static_chunk_size: !ref <chunk_size>
    decoder: !new:cosyvoice.flow.flow_matching.CausalConditionalCFM
        in_channels: 240
        n_spks: 1
        spk_emb_dim: 80
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: 0.7
                reg_loss_type: 'l1'
        estimator: !new:cosyvoice.flow.decoder.CausalConditionalDecoder
            in_channels: 320
            out_channels: 80
            channels: [16]
            dropout: 0.0
            attention_head_dim: 8
            n_blocks: 1
            num_mid_blocks: 1
            num_heads: 2
            act_fn: 'gelu'
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: !ref <num_decoding_left_chunks>
hift: !new:cosyvoice.hifigan.generator.HiFTGenerator
    in_channels: 80
    base_channels: 32
    nb_harmonics: 8
    sampling_rate: !ref <sample_rate>
    nsf_alpha: 0.1
    nsf_sigma: 0.003
    nsf_voiced_threshold: 10
    upsample_rates: [8, 5, 3]
    upsample_kernel_sizes: [16, 11, 7]
    istft_params:
        n_fft: 16
        hop_len: 4
    resblock_kernel_sizes: [3]
    resblock_dilation_sizes: [[1, 3, 5]]
    source_resblock_kernel_sizes: [7, 7, 11]
    source_resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    lrelu_slope: 0.1
    audio_limit: 0.99
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor
        num_class: 1
        in_channels: 80
        cond_channels: 16
get_tokenizer: !name:cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer
    token_path: !ref <qwen_pretrain_path>
    skip_special_tokens: True
allowed_special: 'all'
feat_extractor: !name:matcha.utils.audio.mel_spectrogram
    n_fft: 1920
    num_mels: 80
    sampling_rate: !ref <sample_rate>
    hop_size: 480
    win_size: 1920
    fmin: 0
    fmax: 8000
    center: False
compute_fbank: !name:cosyvoice.dataset.processor.compute_fbank
    feat_extractor: !ref <feat_extractor>
hifigan: !new:cosyvoice.hifigan.hifigan.HiFiGan
    generator: !ref <hift>
data_pipeline: [!ref <compute_fbank>]
"""


def pack_of_tiny(folder: Path, *, model_id: str = "tiny", weights: int = 0, **options: str) -> VoicePack:
    """Write a tiny CosyVoice 2 into a new folder, with two speakers.

    Args:
        folder: To be made.
        model_id: Of the pack.
        weights: The seed of its weights.
        **options: Of the pack, besides those that bound its speech.
    """
    folder.mkdir()
    (folder / "cosyvoice2.yaml").write_text(YAML)
    _write_backbone(folder / "CosyVoice-BlankEN")
    _write_listeners(folder, np.random.default_rng(weights))
    metadata = PackMetadata(
        model_id=model_id,
        family="cosyvoice2",
        licence="Apache-2.0",
        voices=(PackVoice(name="first", language="en"), PackVoice(name="second", language="zh-CN")),
        allow_pickle=PICKLES,
        options=OPTIONS | options,
    )
    pack = VoicePack(path=folder, metadata=metadata, sha256="0" * 64)
    _write_models(pack, weights)
    return pack


def write_wav(file: Path, *, seconds: float = 1.0, rate_hz: int = 44_100) -> None:
    """A recording of noise."""
    noise = np.random.default_rng(1).integers(-3_000, 3_000, round(rate_hz * seconds), dtype=np.int16)
    with wave.open(str(file), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(noise.tobytes())


def _write_backbone(folder: Path) -> None:
    """The language model's configuration, and a tokenizer of bytes."""
    config = Qwen2Config(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    config.save_pretrained(folder)
    letters = sorted(bytes_to_unicode().values())
    (folder / "vocab.json").write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))


def _write_models(pack: VoicePack, seed: int) -> None:
    configuration = read_configuration(pack.path / "cosyvoice2.yaml")
    callables = parts._callables(pack)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        llm, flow, hift = (configuration.make(name, callables).eval() for name in ("llm", "flow", "hift"))
        _make_decided(llm)
        _make_audible(hift)
        head = {"llm.model.lm_head.weight": llm.llm.model.model.embed_tokens.weight}
        torch.save(llm.state_dict() | head, pack.path / "llm.pt")
        torch.save({name: value.half() for name, value in flow.state_dict().items()}, pack.path / "flow.pt")
        torch.save(hift.state_dict(), pack.path / "hift.pt")
        speakers = {voice.name: {"embedding": torch.randn(1, SPEAKER_SIZE)} for voice in pack.metadata.voices}
        torch.save(speakers, pack.path / "spk2info.pt")


def _make_decided(llm: Any) -> None:
    """Scale the head, so that tokens depend on what went before; those that are no speech are not drawn."""
    llm.llm_decoder.weight.mul_(20.0)
    llm.llm_decoder.bias[CODES + 1 :] = -1e4


def _make_audible(hift: Any) -> None:
    """Let the last layer tell about what the mel frames say, at about the level of speech."""
    frames = torch.randn(1, 80, 100)
    outputs: list[torch.Tensor] = []
    hook = hift.conv_post.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output))
    hift.inference(frames)
    hift.conv_post.parametrizations.weight.original0.div_(outputs[0].std())
    loudness = hift.conv_post.bias[: hift.istft_params["n_fft"] // 2 + 1]
    loudness.sub_(5.0)  # below the level at which samples are clipped
    loudness.add_(torch.log(0.1 / hift.inference(frames)[0].std()))
    hook.remove()


def _write_listeners(folder: Path, random: np.random.Generator) -> None:
    """The two ONNX models of the front end, with the signatures of the public ones."""

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)

    def integers(name: str, *values: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(values, dtype=np.int64), name)

    info = helper.make_tensor_value_info
    tokenizer = helper.make_graph(
        [
            helper.make_node("Cast", ["feats_length"], ["ends"], to=TensorProto.INT64),
            helper.make_node("Slice", ["feats", "zero", "ends", "time"], ["heard"]),
            helper.make_node("Conv", ["heard", "kernel"], ["scores"], kernel_shape=[4], strides=[4]),
            helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
            helper.make_node("Cast", ["best"], ["indices"], to=TensorProto.INT32),
        ],
        "speech_tokenizer",
        [info("feats", TensorProto.FLOAT, [1, 128, "T"]), info("feats_length", TensorProto.INT32, [1])],
        [info("indices", TensorProto.INT32, [1, "N"])],
        [weights("kernel", CODES, 128, 4), integers("zero", 0), integers("time", 2)],
    )
    embedder = helper.make_graph(
        [
            helper.make_node("MatMul", ["input", "matrix"], ["each"]),
            helper.make_node("Abs", ["each"], ["positive"]),
            helper.make_node("ReduceMean", ["positive", "time"], ["output"], keepdims=0),
        ],
        "campplus",
        [info("input", TensorProto.FLOAT, [1, "T", 80])],
        [info("output", TensorProto.FLOAT, [1, SPEAKER_SIZE])],
        [weights("matrix", 80, SPEAKER_SIZE), integers("time", 1)],
    )
    for name, graph in (("speech_tokenizer_v2", tokenizer), ("campplus", embedder)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(model, folder / f"{name}.onnx")
