"""The body of POST /v1/models/{id}/load: the model to load, for a worker that does not know it yet."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from voiceplane_common.errors import invalid
from voiceplane_proto.v1 import tts_pb2

_RESIDENCIES = {
    "on_demand": tts_pb2.RESIDENCY_ON_DEMAND,
    "preload": tts_pb2.RESIDENCY_PRELOAD,
    "pinned": tts_pb2.RESIDENCY_PINNED,
}
# Ten years: a larger value is a wrong unit.
_MAX_MS = 315_360_000_000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoadSource(_Body):
    """Where the voice pack is; the fields are those of ModelSource in the gRPC API."""

    uri: str = Field(min_length=1)
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    credentials: str = ""


class LoadVoice(_Body):
    """A voice that sessions may use; a language overrides the pack's."""

    name: str = Field(min_length=1)
    language: str = ""


class LoadRequest(_Body):
    """The body of a load.

    Attributes:
        source: Of the voice pack; a string is its URI.
        family: Empty: as the pack says.
        base: For a LoRA, its base model.
        options: Family options.
        voices: The voices for sessions; a string is a name. Empty: all of the pack.
        languages: BCP 47. Empty: those of the voices.
        residency: When it is loaded and evicted.
        ttl_ms: 0 for the worker's setting.
        min_residency_ms: 0 for the worker's setting.
        load_timeout_ms: 0 for the worker's setting.
        warm_up_text: Empty: the pack's own.
        workers: Addresses of the workers that load it. Empty: those that can.
        wait: Whether the answer waits until it is resident.
    """

    source: str | LoadSource = ""
    family: str = ""
    base: str = ""
    options: dict[str, str | bool | int | float] = Field(default_factory=dict)
    voices: tuple[str | LoadVoice, ...] = ()
    languages: tuple[str, ...] = ()
    residency: Literal["on_demand", "preload", "pinned"] = "on_demand"
    ttl_ms: int = Field(default=0, ge=0, le=_MAX_MS)
    min_residency_ms: int = Field(default=0, ge=0, le=_MAX_MS)
    load_timeout_ms: int = Field(default=0, ge=0, le=_MAX_MS)
    warm_up_text: str = ""
    workers: tuple[str, ...] = ()
    wait: bool = True

    @property
    def declares(self) -> bool:
        """Whether it says anything of the model, besides its id."""
        return bool(self.model_fields_set - {"workers", "wait"})

    def message(self, model_id: str) -> tts_pb2.LoadModelRequest:
        """The request to a worker."""
        source = LoadSource(uri=self.source) if isinstance(self.source, str) and self.source else self.source
        voices = (LoadVoice(name=voice) if isinstance(voice, str) else voice for voice in self.voices)
        request = tts_pb2.LoadModelRequest(
            model_id=model_id,
            family=self.family,
            base_model_id=self.base,
            options={name: _text(value) for name, value in self.options.items()},
            voices=[tts_pb2.Voice(name=voice.name, language=voice.language) for voice in voices],
            languages=self.languages,
            residency=_RESIDENCIES[self.residency],
            ttl_ms=self.ttl_ms,
            min_residency_ms=self.min_residency_ms,
            load_timeout_ms=self.load_timeout_ms,
            warm_up_text=self.warm_up_text,
            no_wait=not self.wait,
        )
        if isinstance(source, LoadSource):
            request.source.CopyFrom(
                tts_pb2.ModelSource(uri=source.uri, sha256=source.sha256, credentials=source.credentials)
            )
        return request


def read_load_request(body: bytes) -> LoadRequest:
    """The request in a body; an empty body is an empty request.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT, INVALID_MESSAGE; names the field.
    """
    try:
        return LoadRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise invalid(name, f"{name or 'body'}: {problem['msg']}", reason="INVALID_MESSAGE") from None


def _text(value: str | float) -> str:
    """An option as families read it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
