"""The folder of a Spark-TTS model as it is on the Hub: a language model, a codec, and what hears recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen2ForCausalLM
from voiceplane_worker.adapters.options import broken

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import torch
    from voiceplane_worker.packs.pack import VoicePack

SETTINGS = "config.yaml"
LANGUAGE_MODEL, CODEC, FEATURES = "LLM", "BiCodec", "wav2vec2-large-xlsr-53"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a model's settings say.

    Attributes:
        pack: Whose they are.
        sample_rate_hz: Of the audio.
        clip_samples: As much of a recording says who speaks.
        even_loudness: Whether a recording is brought to a level first.
        codec: How the codec is made.
    """

    pack: VoicePack
    sample_rate_hz: int
    clip_samples: int
    even_loudness: bool
    codec: Mapping[str, Any]


def read_layout(pack: VoicePack) -> Layout:
    """Read the settings.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID; names the file and the key.
    """
    settings, codec = _read_yaml(pack, SETTINGS), _read_yaml(pack, f"{CODEC}/{SETTINGS}")
    try:
        rate_hz, step = int(settings["sample_rate"]), int(settings["latent_hop_length"])
        return Layout(
            pack=pack,
            sample_rate_hz=rate_hz,
            clip_samples=int(rate_hz * settings["ref_segment_duration"]) // step * step,
            even_loudness=bool(settings["volume_normalize"]),
            codec=dict(codec["audio_tokenizer"]),
        )
    except KeyError as error:
        name = f"{CODEC}/{SETTINGS}" if error.args == ("audio_tokenizer",) else SETTINGS
        raise broken(pack, f"{name} lacks {error}: a pack is the model's folder on the Hub", field=name) from None
    except (TypeError, ValueError) as error:
        raise broken(pack, f"{SETTINGS} can't be used: {error}", field=SETTINGS) from None


def read_codec_part(layout: Layout, kind: Any, *, device: torch.device, computed: str = "") -> Any:
    """A part of the codec with its weights. The library would let weights be missing, and speak noise.

    Args:
        layout: Says how it is made.
        kind: flashtts's class of the part.
        device: To put it on.
        computed: How the names of tensors begin that are not among the weights.

    Raises:
        OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError: It can't be read.
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: weights are missing.
    """
    model = kind(layout.codec)
    weights = load_file(layout.pack.path / CODEC / "model.safetensors")
    missing = model.load_state_dict(weights, strict=False).missing_keys
    missing = [name for name in missing if not computed or not name.startswith(computed)]
    check_complete(layout.pack, f"{CODEC}/model.safetensors", missing)
    model.eval()
    model.remove_weight_norm()
    return model.to(device)


def read_language_model(pack: VoicePack, *, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """The language model and its tokenizer.

    Raises:
        OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError: It can't be read.
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: weights are missing.
    """
    folder = pack.path / LANGUAGE_MODEL
    if not (folder / "config.json").is_file():
        raise broken(pack, f"{LANGUAGE_MODEL}/config.json is missing: a pack is the model's folder on the Hub")
    model, report = Qwen2ForCausalLM.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, dtype=dtype, output_loading_info=True
    )
    lacking = [*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])]
    check_complete(pack, f"{LANGUAGE_MODEL}/model.safetensors", lacking)
    return model.to(device).eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def check_complete(pack: VoicePack, name: str, lacking: Collection[str]) -> None:
    """Refuse weights that lack tensors, which the libraries would fill with random numbers.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
    """
    if lacking:
        raise broken(pack, f"{name} lacks {len(lacking)} tensors of its configuration, such as {min(lacking)}")


def _read_yaml(pack: VoicePack, name: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load((pack.path / name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise broken(pack, f"{name} is missing: a pack is the model's folder on the Hub", field=name) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise broken(pack, f"{name} is not YAML: {' '.join(str(error).split())}", field=name) from None
    if not isinstance(values, dict):
        raise broken(pack, f"{name} must hold a mapping", field=name)
    return values
