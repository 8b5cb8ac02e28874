"""BERT, by which MeloTTS's encoder knows what a text is about: a row of features for each token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer
from voiceplane_worker.adapters.options import broken

if TYPE_CHECKING:
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_melo.library import Language

FOLDER = "bert"
VOCABULARIES = ("tokenizer.json", "vocab.txt")
# MeloTTS takes what the third layer from the end gives, so the last two are not loaded.
UNUSED_LAYERS = 2


class Bert:
    """A loaded BERT.

    Attributes:
        tokenizer: Its tokenizer; not to be used on two threads at once.
        network: Its weights.
    """

    def __init__(self, tokenizer: Any, network: Any) -> None:
        self.tokenizer: Any = tokenizer
        self.network: Any = network

    def tokens(self, text: str) -> Any:
        """The tokens of a text as the network takes them, between a mark for its beginning and one for its end."""
        most = self.network.config.max_position_embeddings
        return self.tokenizer(text, return_tensors="pt", truncation=True, max_length=most)

    def rows(self, tokens: Any) -> torch.Tensor:
        """The features: one row for each token. Under torch.inference_mode()."""
        rows: torch.Tensor = self.network(**tokens.to(self.network.device)).last_hidden_state[0]
        return rows


def read_bert(pack: VoicePack, language: Language, *, features: int, device: torch.device) -> Bert:
    """Read a pack's BERT.

    Args:
        pack: Whose folder bert/ has it, as it is on the Hub.
        language: The pack's.
        features: As many as the model wants of each token.
        device: Where to put it.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
        OSError, ValueError, RuntimeError, KeyError, TypeError: Its files can't be read.
    """
    folder = pack.path / FOLDER
    if not (folder / "config.json").is_file():
        remedy = f"put {language.bert} from the Hub there, or set options.bert to false"
        raise broken(pack, f"{FOLDER}/config.json is missing: {remedy}", field="options.bert")
    if not any((folder / name).is_file() for name in VOCABULARIES):  # transformers would make one without words
        raise broken(pack, f"{FOLDER} has neither {' nor '.join(VOCABULARIES)}: put {language.bert} from the Hub there")
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.hidden_size != features or config.num_hidden_layers < UNUSED_LAYERS:
        problem = f"hidden_size is {config.hidden_size} in {config.num_hidden_layers} layers, where the model was"
        remedy = f"trained on {features} in at least {UNUSED_LAYERS}: take {language.bert}"
        raise broken(pack, f"{FOLDER}/config.json: {problem} {remedy}")
    config.num_hidden_layers -= UNUSED_LAYERS
    network, report = AutoModel.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        dtype=torch.float32,
        add_pooling_layer=False,
        output_loading_info=True,
    )
    if lacking := [*report["missing_keys"], *report["mismatched_keys"]]:
        raise broken(pack, f"{FOLDER}: its weights lack {len(lacking)} tensors, such as {lacking[0]}")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return Bert(tokenizer, network.to(device).eval())
