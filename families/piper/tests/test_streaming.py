"""The split voice says exactly what piper-tts says, however its graph is named and whoever speaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from piper import PiperVoice, SynthesisConfig
from piper.config import PiperConfig
from voiceplane_family_kit.windows import MERGED_REST, WINDOWS, windows
from voiceplane_family_piper.adapter import PiperAdapter, trial_ids, voice_inputs
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.metadata import PackVoice
from voiceplane_worker.text.policy import TextPolicy
from voiceplane_worker.text.reader import TextReader

from families.piper.tests.packs import PIPER_FILES, piper_pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_family_piper.adapter import PiperModel
    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack

TEXT = (
    "The train to the coast leaves at noon from platform nine, and the dining car stays open until the last station. "
    "Tickets? Have them ready."
)
SILENT = {"inference": {"noise_scale": 0.0, "length_scale": 1.0, "noise_w": 0.0}}


def seed_noise(model: onnx.ModelProto) -> None:
    """Make the noise of a session's nth run the same in every session."""
    draws = [node for node in model.graph.node if node.op_type == "RandomNormalLike"]
    assert len(draws) == 2
    for number, node in enumerate(draws):
        node.attribute.append(helper.make_attribute("seed", 7.0 + number))


def load(pack: VoicePack, *, threads: int = 1) -> PiperModel:
    return PiperAdapter().load(pack, device="cpu", threads=threads)


def speak(model: PiperModel, text: str = TEXT, *, voice: str = "joe", speed: float = 1.0) -> list[Samples]:
    return list(model.synthesize(Piece(text=text, voice=voice, language="en-US", speed=speed)))


def piper_speaks(pack: VoicePack, text: str = TEXT, *, speed: float = 1.0, speaker: int | None = None) -> Samples:
    """What piper-tts says, after the one run that a load of ours tries the voice with."""
    voice = PiperVoice.load(pack.path / PIPER_FILES["model"])
    trial = voice_inputs(trial_ids(voice.config), voice.config)
    voice.session.run(None, {entry.name: trial[entry.name] for entry in voice.session.get_inputs()})
    config = SynthesisConfig(normalize_audio=False, length_scale=voice.config.length_scale / speed, speaker_id=speaker)
    return np.concatenate([chunk.audio_float_array for chunk in voice.synthesize(text, config)])


def assert_same_audio(ours: list[Samples], theirs: Samples) -> None:
    joined = np.concatenate(ours)
    assert joined.shape == theirs.shape
    assert np.abs(theirs).max() > 0.1, "the reference is silent, so it would prove nothing"
    np.testing.assert_allclose(joined, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("speed", [1.0, 1.5])
def test_windows_equal_piper_without_noise(altered_voice: Callable[..., VoicePack], speed: float) -> None:
    pack = altered_voice(config=SILENT)
    model = load(pack, threads=2)

    assert model.streaming
    assert_same_audio(speak(model, speed=speed), piper_speaks(pack, speed=speed))


def test_windows_equal_piper_with_the_same_noise(altered_voice: Callable[..., VoicePack]) -> None:
    pack = altered_voice(seed_noise)
    model = load(pack)

    ours = speak(model)

    assert len(ours) > len(TEXT.split(". ")) + 3, "each sentence was to come in several windows"
    assert_same_audio(ours, piper_speaks(pack))


def test_noise_is_drawn_each_time() -> None:
    model = load(piper_pack())
    first, second = (np.concatenate(speak(model, "Hello there.")) for _ in range(2))
    assert first.shape != second.shape or not np.allclose(first, second, atol=1e-3)


def test_a_voice_splits_whatever_its_tensors_are_called(altered_voice: Callable[..., VoicePack]) -> None:
    def rename(model: onnx.ModelProto) -> None:
        graph = model.graph
        kept = {entry.name for entry in (*graph.input, *graph.output)} | {""}
        names: dict[str, str] = {}

        def new(name: str) -> str:
            return name if name in kept else names.setdefault(name, f"t{len(names)}")

        for number, node in enumerate(graph.node):
            node.name = f"n{number}"
            node.input[:] = [new(name) for name in node.input]
            node.output[:] = [new(name) for name in node.output]
        for tensor in graph.initializer:
            tensor.name = new(tensor.name)
        for entry in graph.value_info:
            entry.name = new(entry.name)

    pack = altered_voice(rename, SILENT)
    model = load(pack)

    assert model.streaming
    assert_same_audio(speak(model), piper_speaks(pack))


def test_a_voice_of_several_speakers_is_split_and_each_has_its_own_sound(
    altered_voice: Callable[..., VoicePack],
) -> None:
    def add_speakers(model: onnx.ModelProto) -> None:
        """A speaker's embedding, added where VITS adds it: to the decoder's first convolution, and in the flow."""
        graph = model.graph
        _rename(graph, "sid", "embedding")  # this voice's export happens to call a weight so
        graph.input.append(helper.make_tensor_value_info("sid", onnx.TensorProto.INT64, [1]))
        decoder = _first(graph, lambda node: node.op_type == "Conv" and "/dec/" in node.name)
        flow = _first(graph, lambda node: node.op_type == "Conv" and "/flow/" in node.name and "in_layers" in node.name)
        for conv in (decoder, flow):
            _add_speaker_to(graph, conv.output[0], channels=_channels(graph, conv))

    pack = altered_voice(
        add_speakers,
        SILENT | {"num_speakers": 2, "speaker_id_map": {"ann": 0, "bob": 1}},
        voices=(PackVoice(name="bob", language="en-US"), PackVoice(name="ann", language="en-US")),
    )
    model = load(pack)
    ann, bob = speak(model, voice="ann"), speak(model, voice="bob")

    assert model.streaming
    assert_same_audio(ann, piper_speaks(pack, speaker=0))
    assert_same_audio(bob, piper_speaks(pack, speaker=1))
    assert not np.allclose(np.concatenate(ann), np.concatenate(bob), atol=1e-3)


def without_prior_noise(model: onnx.ModelProto) -> None:
    """The structure that the cut looks for is gone."""
    for node in model.graph.node:
        if node.op_type == "RandomNormalLike":
            node.op_type = "Identity"
            del node.attribute[:]


def with_a_mean_over_time(model: onnx.ModelProto) -> None:
    """The structure is there, and yet a window is not enough: every latent depends on all others."""
    graph = model.graph
    conv = _first(graph, lambda node: node.op_type == "Conv" and "/dec/" in node.name)
    mean = helper.make_node("ReduceMean", [conv.input[0]], ["mean"], axes=[2], keepdims=1)
    mixed = helper.make_node("Add", [conv.input[0], "mean"], ["mixed"])
    conv.input[0] = "mixed"
    _insert_before(graph, conv, [mean, mixed])
    graph.value_info.append(helper.make_tensor_value_info("mixed", onnx.TensorProto.FLOAT, None))


@pytest.mark.parametrize("alter", [without_prior_noise, with_a_mean_over_time])
def test_a_voice_that_does_not_split_speaks_whole_sentences(
    altered_voice: Callable[..., VoicePack], alter: Callable[[onnx.ModelProto], None]
) -> None:
    pack = altered_voice(alter, SILENT)
    model = load(pack)

    ours = speak(model)

    assert not model.streaming
    assert len(ours) == 3, "one chunk a sentence"
    assert_same_audio(ours, piper_speaks(pack))


@pytest.mark.parametrize("total", [1, WINDOWS[0], WINDOWS[0] + 1, 100, 1000])
def test_windows_cover_a_sentence_once_and_grow(total: int) -> None:
    cut = list(windows(total))
    assert [start for start, _ in cut] == [0, *(end for _, end in cut[:-1])]
    assert cut[-1][1] == total
    sizes = [end - start for start, end in cut]
    assert sizes[:-1] == [WINDOWS[min(index, len(WINDOWS) - 1)] for index in range(len(sizes) - 1)]
    assert max(sizes) <= WINDOWS[-1] * (1 + MERGED_REST)


def _first(graph: onnx.GraphProto, wanted: Callable[[onnx.NodeProto], bool]) -> Any:
    return next(node for node in graph.node if wanted(node))


def _rename(graph: onnx.GraphProto, name: str, new: str) -> None:
    _first_named(graph.initializer, name).name = new
    for node in graph.node:
        node.input[:] = [new if entry == name else entry for entry in node.input]


def _first_named(entries: Any, name: str) -> Any:
    return next(entry for entry in entries if entry.name == name)


def _channels(graph: onnx.GraphProto, conv: onnx.NodeProto) -> int:
    return int(_first_named(graph.initializer, conv.input[1]).dims[0])


def _add_speaker_to(graph: onnx.GraphProto, tensor: str, *, channels: int) -> None:
    table = np.random.default_rng(channels).normal(0.0, 0.1, (2, channels, 1)).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(table, f"{tensor}/table"))
    users = [node for node in graph.node if tensor in node.input]
    look_up = helper.make_node("Gather", [f"{tensor}/table", "sid"], [f"{tensor}/speaker"], axis=0)
    add = helper.make_node("Add", [tensor, f"{tensor}/speaker"], [f"{tensor}/with_speaker"])
    for node in users:
        node.input[:] = [f"{tensor}/with_speaker" if name == tensor else name for name in node.input]
    _insert_before(graph, users[0], [look_up, add])
    graph.value_info.append(helper.make_tensor_value_info(f"{tensor}/speaker", onnx.TensorProto.FLOAT, None))


def _insert_before(graph: onnx.GraphProto, node: onnx.NodeProto, new: list[onnx.NodeProto]) -> None:
    index = next(number for number, entry in enumerate(graph.node) if entry is node or entry.output == node.output)
    nodes = list(graph.node)
    copies = [*new, *(onnx.NodeProto.FromString(entry.SerializeToString()) for entry in nodes[index:])]
    del graph.node[index:]
    graph.node.extend(copies)


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith of the U.S. Government came at 8:00 a.m. for $49.95, e.g. with J. R. R. Tolkien.",
        "Wait... what... really?",
        "- **Version** 1.2.3 vs. 2.0 — see https://www.example.com/a.b.",
        "No. 5 costs 3.5% of approx. 1,000.",
    ],
)
def test_a_segment_is_one_sentence_for_piper_too(text: str) -> None:
    reader = TextReader(language="en-US", segmentation="sentence", policy=TextPolicy())
    config = json.loads((piper_pack().path / PIPER_FILES["config"]).read_text(encoding="utf-8"))
    voice = PiperVoice(session=None, config=PiperConfig.from_dict(config))
    segments = [*reader.push(text), *reader.flush()]
    assert [len(voice.phonemize(segment.text)) for segment in segments] == [1]
