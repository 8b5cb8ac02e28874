"""What a MeloTTS pack says of its voices: speakers, seeds and noise; and what is left when it goes."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from voiceplane_common.errors import VoiceplaneError
from voiceplane_family_melo.adapter import MeloAdapter
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.packs.metadata import PackVoice

from families.melo.tests.tiny import RATE_HZ, VOICES, pack_of_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_family_melo.model import MeloModel
    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack

TEXT = "Nine green bottles are standing on the wall."


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> VoicePack:
    return pack_of_tiny(tmp_path_factory.mktemp("melo") / "tiny")


@pytest.fixture(scope="module")
def seeded(pack: VoicePack) -> Iterator[MeloModel]:
    model = load(options(pack, seed="5"))
    yield model
    model.close()


def options(pack: VoicePack, **values: str) -> VoicePack:
    return replace(pack, metadata=pack.metadata.model_copy(update={"options": values}))


def load(pack: VoicePack) -> MeloModel:
    return MeloAdapter().load(pack, device="cpu", threads=1)


def stream(model: MeloModel, text: str = TEXT, *, voice: str = "EN-US", speed: float = 1.0) -> Iterator[Samples]:
    return model.synthesize(Piece(text=text, voice=voice, language="en-US", speed=speed))


def speak(model: MeloModel, text: str = TEXT, *, voice: str = "EN-US", speed: float = 1.0) -> Samples:
    return np.concatenate(list(stream(model, text, voice=voice, speed=speed)))


def test_the_rate_is_the_model_s(seeded: MeloModel) -> None:
    assert seeded.sample_rate_hz == RATE_HZ == 44_100


def test_with_a_seed_a_text_always_sounds_the_same_and_without_one_never(pack: VoicePack, seeded: MeloModel) -> None:
    free = load(pack)
    np.testing.assert_array_equal(speak(seeded), speak(seeded))
    assert not np.array_equal(speak(free), speak(free))
    free.close()


def test_the_random_numbers_of_the_process_are_left_alone(seeded: MeloModel) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    speak(seeded)
    torch.testing.assert_close(torch.rand(3), expected)


def test_streams_that_alternate_do_not_mix(seeded: MeloModel) -> None:
    alone = [speak(seeded, voice=voice.name) for voice in VOICES]
    streams = [stream(seeded, voice=voice.name) for voice in VOICES]
    heard: list[list[Samples]] = [[], []]
    while chunks := [(number, chunk) for number, each in enumerate(streams) if (chunk := next(each, None)) is not None]:
        for number, chunk in chunks:
            heard[number].append(chunk)
    for parts, single in zip(heard, alone, strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), single)


def test_streams_of_several_threads_do_not_mix(seeded: MeloModel) -> None:
    texts = [f"{TEXT} {number}" for number in range(4)]
    alone = {text: speak(seeded, text) for text in texts}
    together: dict[str, Samples] = {}
    threads = [
        threading.Thread(target=lambda text=text: together.update({text: speak(seeded, text)})) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        np.testing.assert_array_equal(together[text], alone[text])


def test_voices_are_speakers(seeded: MeloModel) -> None:
    first, second = (speak(seeded, voice=voice.name) for voice in VOICES)
    size = min(first.size, second.size)
    assert not np.allclose(first[:size], second[:size], atol=1e-3)


def test_a_speaker_that_the_model_does_not_have_is_named(pack: VoicePack) -> None:
    voices = (PackVoice(name="EN-NZ", language="en-NZ"),)
    with pytest.raises(VoiceplaneError, match=r"no speaker 'EN-NZ'.*EN_INDIA") as caught:
        load(replace(pack, metadata=pack.metadata.model_copy(update={"voices": voices})))
    assert (caught.value.reason, caught.value.field) == ("PACK_INVALID", "voices")


def test_without_noise_only_what_is_predicted_is_spoken(pack: VoicePack) -> None:
    steady = load(options(pack, noise_scale="0", sdp_ratio="0"))
    np.testing.assert_array_equal(speak(steady), speak(steady))
    steady.close()


def test_the_model_itself_speaks_faster(seeded: MeloModel) -> None:
    assert speak(seeded, speed=2.0).size == pytest.approx(speak(seeded).size / 2, rel=0.2)


def test_a_model_that_has_gone_leaves_nothing_behind(pack: VoicePack) -> None:
    model = load(pack)
    network = model._network
    assert network
    assert network._bert
    left = [weakref.ref(part) for part in (network._parts, network._bert.network, network._bert.tokenizer)]
    speak(model)
    del network
    model.close()
    gc.collect()
    assert [part() for part in left] == [None] * 3


def test_a_closed_model_speaks_no_more(pack: VoicePack) -> None:
    model = load(pack)
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        next(stream(model))
