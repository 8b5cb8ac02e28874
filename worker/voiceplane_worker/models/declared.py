"""The models file: what a worker is to know from its start, besides its catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from voiceplane_common.errors import invalid

from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.models.status import ModelSpec, Residency
from voiceplane_worker.packs.metadata import PackSource


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, protected_namespaces=()
    )


class _Source(_Part):
    uri: str
    sha256: str = ""
    credentials: str = ""


class _Voice(_Part):
    name: str = Field(min_length=1)
    language: str = ""


class _Model(_Part):
    model_id: str = Field(min_length=1)
    family: str = ""
    source: _Source | None = None
    residency: Literal["onDemand", "preload", "pinned"] = "onDemand"
    ttl_ms: int = Field(default=0, ge=0)
    min_residency_ms: int = Field(default=0, ge=0)
    warm_up_text: str = ""
    base_model_id: str = ""
    options: dict[str, str] = Field(default_factory=dict)
    voices: tuple[_Voice, ...] = ()
    languages: tuple[str, ...] = ()
    declaration: str = ""


class _File(_Part):
    models: tuple[_Model, ...] = ()


_RESIDENCY = {"onDemand": Residency.ON_DEMAND, "preload": Residency.PRELOAD, "pinned": Residency.PINNED}


def read_declared(file: str | Path) -> tuple[ModelSpec, ...]:
    """The models of a file; an empty file has none. Blocking: called before the event loop has work.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT, naming the file and what is wrong with it.
    """
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        models = _File.model_validate(content).models
    except OSError as error:
        raise invalid("worker.models_file", f"cannot read {file}: {error.strerror}") from None
    except yaml.YAMLError:
        raise invalid("worker.models_file", f"{file} is not YAML") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise invalid("worker.models_file", f"{file}: {where}: {problem['msg']}") from None
    return tuple(
        ModelSpec(
            model_id=model.model_id,
            source=PackSource(**model.source.model_dump()) if model.source else None,
            family=model.family,
            residency=_RESIDENCY[model.residency],
            ttl_ms=model.ttl_ms,
            min_residency_ms=model.min_residency_ms,
            warm_up_text=model.warm_up_text,
            base_model_id=model.base_model_id,
            options=dict(model.options),
            voices=tuple(Voice(name=voice.name, language=voice.language) for voice in model.voices),
            languages=model.languages,
            declaration=model.declaration,
        )
        for model in models
    )
