"""The MeloTTS family: loads a model as MyShell publishes it, and the BERT that it reads text with."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from voiceplane_family_kit.torch_device import torch_device
from voiceplane_family_kit.torch_loading import loading
from voiceplane_worker.adapters.options import broken, read_options
from voiceplane_worker.adapters.pack_files import one_line

from voiceplane_family_melo import FAMILY
from voiceplane_family_melo.bert import read_bert
from voiceplane_family_melo.library import LANGUAGES, synthesizer_class
from voiceplane_family_melo.model import MeloModel
from voiceplane_family_melo.network import Network
from voiceplane_family_melo.options import MeloOptions
from voiceplane_family_melo.text import Reader, check_language

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import FamilyTraits
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_melo.library import Language

CONFIG_FILE = "config.json"
SAFE_WEIGHTS, PICKLED_WEIGHTS = "checkpoint.safetensors", "checkpoint.pth"


UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError)


class MeloAdapter:
    """Loads MeloTTS models. A pack is the model's folder as it is on the Hub, with a BERT in its folder bert/."""

    traits: ClassVar[FamilyTraits] = FAMILY.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> MeloModel:
        """Load a model; see Adapter.load. The threads are those of the whole process: torch has no others."""
        where = torch_device(device)
        options = read_options(MeloOptions, pack)
        language = _language_of(pack)
        # It would tell that a BERT has layers that are not used, and show a bar.
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        try:
            with loading(pack, where, threads=threads, unreadable=UNREADABLE):
                return _load(pack, language, options=options, device=where)
        except (KeyError, AttributeError, TypeError, AssertionError) as error:
            raise broken(
                pack, f"{CONFIG_FILE} is not a MeloTTS model's: {one_line(error)}", field=CONFIG_FILE
            ) from None


def _load(pack: VoicePack, language: Language, *, options: MeloOptions, device: torch.device) -> MeloModel:
    config = _read_config(pack)
    data, shape = config["data"], config["model"]
    speakers = _speakers_of(pack, data["spk2id"])
    if out := [name for name, number in speakers.items() if not 0 <= number < data["n_speakers"]]:
        raise broken(pack, f"{CONFIG_FILE}: speaker {out[0]!r} has a number beyond n_speakers", field=CONFIG_FILE)
    check_language(pack, language, languages=config["num_languages"], tones=config["num_tones"])
    synthesizer = synthesizer_class()(
        len(config["symbols"]),
        data["filter_length"] // 2 + 1,
        config["train"]["segment_size"] // data["hop_length"],
        n_speakers=data["n_speakers"],
        num_tones=config["num_tones"],
        num_languages=config["num_languages"],
        **shape,
    )
    synthesizer.load_state_dict(_read_weights(pack), strict=True)
    bert = None
    if options.bert and not data.get("disable_bert", False):
        features = synthesizer.enc_p.ja_bert_proj.in_channels
        bert = read_bert(pack, language, features=features, device=device)
    return MeloModel(
        Network(synthesizer, bert, options=options, device=device),
        Reader(language, bert, symbols=config["symbols"], with_blanks=data["add_blank"]),
        pack,
        sample_rate_hz=data["sampling_rate"],
        speakers=speakers,
        seed=options.seed,
    )


def _read_config(pack: VoicePack) -> dict[str, Any]:
    try:
        config = json.loads((pack.path / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        problem = f"{CONFIG_FILE} is missing or no JSON object: a pack is the model's folder on the Hub"
        raise broken(pack, problem, field=CONFIG_FILE)
    return config


def _read_weights(pack: VoicePack) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint. A pickle is read in a way that runs none of its code."""
    if (pack.path / SAFE_WEIGHTS).is_file():
        weights: dict[str, torch.Tensor] = load_file(pack.path / SAFE_WEIGHTS)
        return weights
    if not (pack.path / PICKLED_WEIGHTS).is_file():
        raise broken(
            pack, f"it has neither {SAFE_WEIGHTS} nor {PICKLED_WEIGHTS}: a pack is the model's folder on the Hub"
        )
    checkpoint = torch.load(pack.path / PICKLED_WEIGHTS, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model"), dict):
        raise broken(pack, f"{PICKLED_WEIGHTS} has no weights under the key 'model'")
    return dict(checkpoint["model"])


def _language_of(pack: VoicePack) -> Language:
    """The one language of a pack's voices."""
    tags = {voice.language.partition("-")[0].lower() for voice in pack.metadata.voices}
    if len(tags) > 1:
        raise broken(
            pack, f"a MeloTTS model speaks one language, and its voices have {', '.join(sorted(tags))}", field="voices"
        )
    (tag,) = tags
    if tag not in LANGUAGES:
        raise broken(pack, f"MeloTTS does not speak {tag!r}, but {', '.join(LANGUAGES)}", field="voices")
    return LANGUAGES[tag]


def _speakers_of(pack: VoicePack, known: dict[str, int]) -> dict[str, int]:
    """The speaker's number for each of the pack's voices."""
    if len(known) == 1:
        (only,) = known.values()
        return {voice.name: only for voice in pack.metadata.voices}
    for voice in pack.metadata.voices:
        if voice.name not in known:
            problem = f"{CONFIG_FILE} has no speaker {voice.name!r} in data.spk2id, but {', '.join(known)}"
            raise broken(pack, problem, field="voices")
    return {voice.name: known[voice.name] for voice in pack.metadata.voices}
