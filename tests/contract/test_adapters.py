"""What every adapter promises the base, whatever its family."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters import plugins
from voiceplane_worker.adapters.base import LoraBase, Piece
from voiceplane_worker.adapters.hosted.adapter import HostedAdapter

from tests.support.packs import MANIFESTS, MOCK, OTHERS_PACK, contract_pack, families_here, manifest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.adapters.base import Adapter, Model, Samples
    from voiceplane_worker.packs.pack import VoicePack

# The others have environments of their own, in which this suite runs, too: see test_families.py.
HERE = families_here()
HOSTED = ", in a child process"
SENTENCE = "The train to the coast leaves at noon from platform nine, and it is never late."
SETTLING_CYCLES = 5
HOSTED_CYCLES = 10  # each starts a process, with which all that the model held ends
HOSTABLE = {MOCK.name, *([OTHERS_PACK.metadata.family] if OTHERS_PACK else [])}  # in a child all families are alike
TEXTS = {
    "en": "The water is cold today, and the boats stay at home.",
    "de": "Das Wasser ist heute kalt, und die Boote bleiben zu Hause.",
    "es": "El agua está fría hoy, y los barcos se quedan en casa.",
    "fr": "L'eau est froide aujourd'hui, et les bateaux restent à la maison.",
    "ja": "今日は水が冷たいので、船は港に残ります。",
    "ko": "오늘은 물이 차가워서 배들이 항구에 남아 있습니다.",
    "zh": "今天水很冷，船都留在港口里。",
}


@pytest.fixture(scope="module", params=[*HERE, *(f"{family}{HOSTED}" for family in HERE if family in HOSTABLE)])
def subject(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def family(subject: str) -> str:
    return subject.removesuffix(HOSTED)


@pytest.fixture(scope="module")
def pack(family: str) -> VoicePack:
    return contract_pack(family)


@pytest.fixture(scope="module")
def adapter(subject: str, family: str) -> Adapter:
    return HostedAdapter(family) if subject.endswith(HOSTED) else plugins.find_adapter(family)


@pytest.fixture(scope="module")
def model(adapter: Adapter, pack: VoicePack) -> Iterator[Model]:
    model = adapter.load(pack, device="cpu", threads=1)
    yield model
    model.close()


def piece(model: Model, text: str, *, speed: float = 1.0) -> Piece:
    voice = model.voices[0]
    return Piece(text=text, voice=voice.name, language=voice.language, speed=speed)


def speak(model: Model, text: str, *, speed: float = 1.0) -> Samples:
    return np.concatenate(list(model.synthesize(piece(model, text, speed=speed))))


def test_a_family_s_folder_package_and_entry_point_have_one_name() -> None:
    for name, manifest in MANIFESTS.items():
        assert manifest.entry_points == {plugins.GROUP: {name: f"voiceplane_family_{name}:FAMILY"}}
        assert (manifest.source / f"voiceplane_family_{name}" / "__init__.py").is_file()


def test_the_registry_tells_the_adapters_own_traits(family: str, adapter: Adapter) -> None:
    assert adapter.traits in plugins.traits()
    assert adapter.traits.name == family


def test_a_model_takes_adapters_if_its_family_says_so(model: Model, adapter: Adapter) -> None:
    assert isinstance(model, LoraBase) == adapter.traits.lora


@pytest.mark.core
def test_a_model_has_the_packs_voices(model: Model, pack: VoicePack) -> None:
    assert [(voice.name, voice.language) for voice in model.voices] == [
        (voice.name, voice.language) for voice in pack.metadata.voices
    ]
    assert 8_000 <= model.sample_rate_hz <= 192_000
    assert model.memory_bytes > 0


@pytest.mark.core
def test_speech_comes_as_flat_float_samples_within_range(model: Model) -> None:
    for chunk in model.synthesize(piece(model, SENTENCE)):
        assert chunk.ndim == 1
        assert chunk.size > 0
        assert chunk.dtype == np.float32
        assert np.isfinite(chunk).all()
        assert np.abs(chunk).max() <= 1.0


@pytest.mark.core
def test_speech_is_audible_and_as_long_as_its_text(model: Model) -> None:
    short, long = speak(model, "Yes."), speak(model, SENTENCE)
    assert np.sqrt(np.mean(long**2)) > 0.01
    assert long.size > 3 * short.size
    assert 2.0 < long.size / model.sample_rate_hz < 8.0


def test_the_first_chunk_of_a_sentence_is_a_small_part_where_the_family_says_that_it_streams(
    model: Model, adapter: Adapter
) -> None:
    chunks = list(model.synthesize(piece(model, SENTENCE)))
    assert (chunks[0].size < 0.1 * sum(chunk.size for chunk in chunks)) == adapter.traits.streaming
    if adapter.traits.streaming:
        assert 0.04 <= chunks[0].size / model.sample_rate_hz <= 0.25


@pytest.mark.parametrize("speed", [0.25, 4.0])
def test_speed_scales_the_duration(model: Model, family: str, speed: float) -> None:
    # A model may draw each sound's length by chance, and round it up, which is felt when they are short.
    def mean_size(at: float) -> float:
        return float(np.mean([speak(model, SENTENCE, speed=at).size for _ in range(manifest_of(family).draws)]))

    assert mean_size(speed) == pytest.approx(mean_size(1.0) / speed, rel=0.35)


@pytest.mark.parametrize("text", ["...", "—", "?!", "👍", "« »", "🙂 🙃"])
def test_text_with_nothing_to_speak_gives_nothing(model: Model, text: str) -> None:
    assert list(model.synthesize(piece(model, text))) == []


def test_several_sentences_are_all_spoken(model: Model) -> None:
    one = speak(model, "I like the green one.")
    assert speak(model, "I like the green one. I like the green one.").size > 1.6 * one.size


def test_unusual_text_is_survived(model: Model) -> None:
    for text in ("1️⃣ 2.5% of £3", "naïve café 東京", "a\u0000b", "x" * 300, "[[ h@ ]] {}\\", "... well ..."):
        assert all(np.isfinite(chunk).all() for chunk in model.synthesize(piece(model, text)))


def test_an_unknown_voice_is_named(model: Model) -> None:
    with pytest.raises(VoiceplaneError, match="'unknown'") as caught:
        list(model.synthesize(Piece(text="Hello.", voice="unknown", language="en-US")))
    assert caught.value.field == "voice"


def test_every_voice_speaks_its_language(model: Model) -> None:
    for voice in model.voices:
        text = TEXTS[voice.language.partition("-")[0]]
        piece = Piece(text=text, voice=voice.name, language=voice.language)
        samples = np.concatenate(list(model.synthesize(piece)))
        assert 0.5 < samples.size / model.sample_rate_hz < 12.0, voice
        assert np.sqrt(np.mean(samples**2)) > 0.005, voice


def test_the_same_text_gives_the_same_speech_under_a_seed(adapter: Adapter, pack: VoicePack, family: str) -> None:
    seed = manifest_of(family).seed
    options = pack.metadata.options | ({"seed": "7"} if seed == "option" else {})
    seeded = replace(pack, metadata=pack.metadata.model_copy(update={"options": options}))
    model = adapter.load(seeded, device="cpu", threads=1)
    try:
        first = speak(model, SENTENCE)
        speak(model, "Something else comes in between.")
        assert np.array_equal(speak(model, SENTENCE), first) == (seed != "none")
    finally:
        model.close()


def test_a_closed_iterator_leaves_the_model_usable(model: Model) -> None:
    chunks = model.synthesize(piece(model, SENTENCE))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]  # the base closes generators, and an adapter's iterator is one
    assert next(chunks, None) is None
    assert speak(model, "Hello there.").size > 0


def test_streams_of_several_threads_do_not_disturb_each_other(model: Model) -> None:
    texts = ["The first one.", "And now the second of them.", "A third one comes last, and it is the longest."]
    sizes: dict[str, int] = {}
    threads = [
        threading.Thread(target=lambda text=text: sizes.update({text: speak(model, text).size})) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sizes[text] for text in texts] == sorted(sizes.values())
    assert len(sizes) == len(texts)


@pytest.mark.timeout(300)
def test_memory_returns_after_many_loads(subject: str, family: str, adapter: Adapter, pack: VoicePack) -> None:
    process = psutil.Process()
    resident: list[int] = []
    for _ in range(HOSTED_CYCLES if subject.endswith(HOSTED) else manifest_of(family).loads):
        model = adapter.load(pack, device="cpu", threads=1)
        speak(model, "Hello there, how are you?")
        model.close()
        del model
        resident.append(process.memory_info().rss)
    settled = resident[SETTLING_CYCLES - 1]
    assert max(resident[SETTLING_CYCLES:]) < 1.05 * settled


@pytest.mark.core
def test_a_device_that_is_not_there_is_refused(adapter: Adapter, pack: VoicePack) -> None:
    with pytest.raises(VoiceplaneError, match="fpga") as caught:
        adapter.load(pack, device="fpga", threads=1)
    assert caught.value.reason == "DEVICE_UNAVAILABLE"
