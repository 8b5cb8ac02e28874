"""MeloTTS speaks window by window: what is streamed is what the library gives for the whole, and a STOP ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from voiceplane_family_kit.windows import WINDOWS
from voiceplane_family_melo.adapter import MeloAdapter
from voiceplane_family_melo.network import Manner, Network, context_of
from voiceplane_family_melo.text import plain
from voiceplane_worker.adapters.base import Piece

from families.melo.tests.tiny import RATE_HZ, SAMPLES_PER_LATENT, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_family_melo.model import MeloModel
    from voiceplane_family_melo.text import Reading

TEXT = "The train to the coast leaves at noon from platform nine, and it is never late."
MANNER = Manner(speaker=1, speed=1.0, seed=11)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeloModel]:
    model = MeloAdapter().load(pack_of_tiny(tmp_path_factory.mktemp("melo") / "tiny"), device="cpu", threads=1)
    yield model
    model.close()


@pytest.fixture
def network(model: MeloModel) -> Network:
    assert model._network
    return model._network


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The latents in each window that has been decoded, as they come."""
    sizes: list[int] = []
    decode = Network.decode

    def noted(self: Network, voice: torch.Tensor, latents: torch.Tensor) -> Any:
        sizes.append(latents.shape[-1])
        return decode(self, voice, latents)

    monkeypatch.setattr(Network, "decode", noted)
    return sizes


def read(model: MeloModel, text: str = TEXT) -> Reading:
    assert model._reader
    reading = model._reader.read(plain(text))
    assert reading
    return reading


def stream(model: MeloModel, text: str = TEXT) -> Any:
    return model.synthesize(Piece(text=text, voice="EN-US", language="en-US"))


def test_windows_give_what_the_whole_gives(model: MeloModel, network: Network) -> None:
    reading = read(model)
    voice, latents = network.latents(reading, MANNER)
    whole = network.decode(voice, latents)
    parts = list(network.speak(reading, MANNER))
    assert latents.shape[-1] > sum(WINDOWS)
    assert len(parts) > len(WINDOWS)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert np.abs(whole).max() > 0.1


def test_windows_without_their_context_would_click(
    model: MeloModel, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, latents = network.latents(read(model), MANNER)
    whole = network.decode(voice, latents)
    monkeypatch.setattr(network, "_context", 1)
    assert np.abs(np.concatenate(list(network.speak(read(model), MANNER))) - whole).max() > 0.01


def test_the_context_covers_what_a_sample_depends_on_and_hardly_more(network: Network) -> None:
    decoder = network._parts.dec
    context = context_of(decoder)
    latents = torch.zeros(1, 16, 4 * context, requires_grad=True)
    middle = 2 * context  # a latent, of whose samples the first reaches farthest back, the last farthest on
    audio = decoder(latents, g=torch.zeros(1, 16, 1))[0, 0]
    (audio[middle * SAMPLES_PER_LATENT] + audio[(middle + 1) * SAMPLES_PER_LATENT - 1]).backward()
    assert latents.grad is not None
    (felt,) = torch.nonzero(latents.grad.abs().sum(dim=(0, 1)), as_tuple=True)
    reach = max(middle - int(felt.min()), int(felt.max()) - middle)
    assert context - 1 <= reach <= context


def test_speech_is_what_the_library_s_infer_gives(model: MeloModel, network: Network) -> None:
    reading = read(model)
    sounds = reading.sounds.numel()
    torch.manual_seed(MANNER.seed)
    with torch.inference_mode():
        whole = network._parts.infer(
            reading.sounds[None],
            torch.tensor([sounds]),
            torch.tensor([MANNER.speaker]),
            reading.tones[None],
            reading.languages[None],
            torch.zeros(1, 1024, sounds),
            reading.features(network._bert, size=768, device=torch.device("cpu"))[None],
            sdp_ratio=0.2,
            noise_scale=0.6,
            noise_scale_w=0.8,
            length_scale=1 / 0.8,
        )[0][0, 0].numpy()
    spoken = np.concatenate(list(network.speak(reading, Manner(speaker=1, speed=0.8, seed=MANNER.seed))))
    np.testing.assert_allclose(spoken, whole, atol=1e-4)


def test_the_first_chunk_leaves_when_its_window_is_there(model: MeloModel, windows: list[int]) -> None:
    chunks = stream(model)
    first = next(chunks)
    assert first.size == WINDOWS[0] * SAMPLES_PER_LATENT
    assert 0.04 <= first.size / RATE_HZ <= 0.25
    rest = list(chunks)
    spoken = (first.size + sum(chunk.size for chunk in rest)) // SAMPLES_PER_LATENT
    assert windows[0] < 0.1 * spoken
    assert len(windows) == 1 + len(rest) > len(WINDOWS)


def test_nothing_is_computed_ahead_of_what_is_asked_for(model: MeloModel, windows: list[int]) -> None:
    chunks = stream(model)
    assert windows == []
    for number in range(1, 4):
        next(chunks)
        assert len(windows) == number
    chunks.close()


def test_a_closed_stream_computes_no_further_window(model: MeloModel, windows: list[int]) -> None:
    chunks = stream(model)
    next(chunks)
    chunks.close()
    assert len(windows) == 1
    assert next(chunks, None) is None


def test_the_weights_of_attention_are_not_kept(model: MeloModel, network: Network) -> None:
    list(stream(model))
    kept = [module.attn for module in network._parts.modules() if hasattr(module, "attn")]
    assert len(kept) > 3
    assert kept == [None] * len(kept)


def test_memory_of_the_device_is_not_given_back_in_mid_speech(
    model: MeloModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: calls.append(None))
    assert len(list(stream(model))) > 1
    assert calls == []
