"""The parts of the library that inference needs, imported without what only its training and its front end need.

`cosyvoice.cli.frontend` wants a text normalizer that no wheel of Python 3.11 brings; it is not imported. matcha's parts
get their logger from `matcha.utils`, whose own imports are lightning, hydra and plotting.
"""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch


def _without_training_tools() -> None:
    """Stand in for the package matcha.utils and its logger; its other modules are then imported as they are."""
    matcha = find_spec("matcha")
    if "matcha.utils" in sys.modules or matcha is None or matcha.submodule_search_locations is None:
        return
    package = ModuleType("matcha.utils")
    package.__path__ = [f"{place}/utils" for place in matcha.submodule_search_locations]
    logger = ModuleType("matcha.utils.pylogger")
    logger.get_pylogger = logging.getLogger  # type: ignore[attr-defined]  # what matcha's parts ask it for
    sys.modules |= {package.__name__: package, logger.__name__: logger}


_without_training_tools()
# The library configures the root logger when it is imported, to print everything. Ours stays as it is.
_root = logging.getLogger()
_before = (_root.level, list(_root.handlers))

from cosyvoice.flow import flow_matching  # noqa: E402
from cosyvoice.flow.decoder import CausalConditionalDecoder  # noqa: E402
from cosyvoice.flow.flow import CausalMaskedDiffWithXvec  # noqa: E402
from cosyvoice.hifigan.f0_predictor import ConvRNNF0Predictor  # noqa: E402
from cosyvoice.hifigan.generator import HiFTGenerator  # noqa: E402
from cosyvoice.llm import llm as llm_module  # noqa: E402
from cosyvoice.tokenizer.tokenizer import QwenTokenizer  # noqa: E402
from cosyvoice.transformer.embedding import EspnetRelPositionalEncoding  # noqa: E402
from cosyvoice.transformer.upsample_encoder import UpsampleConformerEncoder  # noqa: E402
from cosyvoice.utils import mask as mask_module  # noqa: E402
from cosyvoice.utils.common import ras_sampling  # noqa: E402
from matcha.models.components import transformer as matcha_transformer  # noqa: E402
from matcha.utils import audio as matcha_audio  # noqa: E402
from omegaconf import DictConfig  # noqa: E402
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM  # noqa: E402

_root.setLevel(_before[0])
_root.handlers[:] = _before[1]

_log = logging.getLogger(__name__)
for _module in (llm_module, mask_module, matcha_audio):
    _module.print = _log.debug  # they print to stdout, which is not theirs

# The flow's noise is always the same. The library gets it by seeding all random numbers of the process, Python's too.
# Here noise() makes it, and no other random numbers are touched.
flow_matching.set_all_random_seed = lambda seed: None

# A layer that diffusers warns of, and that is this one as long as it has no LoRA adapter.
matcha_transformer.LoRACompatibleLinear = torch.nn.Linear

CausalConditionalCFM = flow_matching.CausalConditionalCFM
Qwen2LM = llm_module.Qwen2LM


def noise(shape: torch.Size) -> torch.Tensor:
    """The flow's noise as the library draws it."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


class Qwen2Encoder(llm_module.Qwen2Encoder):  # type: ignore[misc]  # it is not there where types are checked
    """The library's backbone, made from its configuration alone: llm.pt has all of its weights once more.

    It has no head for words: speech has one of its own, and the library would compute 150,000 values for nothing.
    """

    def __init__(self, pretrain_path: str) -> None:
        torch.nn.Module.__init__(self)
        config = Qwen2Config.from_pretrained(pretrain_path, local_files_only=True)
        self.model = Qwen2ForCausalLM(config)
        self.model.lm_head = torch.nn.Identity()

    def forward_one_step(self, xs: torch.Tensor, masks: torch.Tensor, cache: Any = None) -> tuple[torch.Tensor, Any]:
        """The hidden states of new inputs, which see all before them; see the library's.

        Its own hands over a mask of the new inputs alone, which transformers from 4.53 on takes for one of all: with it
        speech turns to noise. Of one utterance nothing is masked.
        """
        cache = DynamicCache() if cache is None else cache
        output = self.model.model(inputs_embeds=xs, past_key_values=cache, use_cache=True)
        return output.last_hidden_state, output.past_key_values


__all__ = [
    "CausalConditionalCFM",
    "CausalConditionalDecoder",
    "CausalMaskedDiffWithXvec",
    "ConvRNNF0Predictor",
    "DictConfig",
    "EspnetRelPositionalEncoding",
    "HiFTGenerator",
    "Qwen2Encoder",
    "Qwen2LM",
    "QwenTokenizer",
    "UpsampleConformerEncoder",
    "llm_module",
    "matcha_audio",
    "noise",
    "ras_sampling",
]
