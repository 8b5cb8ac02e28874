"""What `voiceplane models load` says of a model, as the HTTP API and the gRPC API take it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voiceplane_proto.v1 import tts_pb2

from voiceplane_cli.output import CliError, ExitCode

RESIDENCIES = {
    "on_demand": tts_pb2.RESIDENCY_ON_DEMAND,
    "preload": tts_pb2.RESIDENCY_PRELOAD,
    "pinned": tts_pb2.RESIDENCY_PINNED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDeclaration:
    """A model to load; empty fields are left to the worker and the voice pack.

    Attributes:
        source: The URI of its voice pack.
        sha256: Its digest.
        credentials: The worker's set of credentials that opens the source.
        family: Such as "csm".
        base: For a LoRA, its base model.
        options: Family options.
        voices: Names of the voices for sessions, and their languages.
        residency: "on_demand", "preload" or "pinned".
        load_timeout_ms: How long the load may take, without its fetch.
        warm_up_text: Spoken once after the load.
    """

    source: str = ""
    sha256: str = ""
    credentials: str = ""
    family: str = ""
    base: str = ""
    options: dict[str, str] = field(default_factory=dict)
    voices: dict[str, str] = field(default_factory=dict)
    residency: str = ""
    load_timeout_ms: int = 0
    warm_up_text: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """The body of POST /v1/models/{id}/load; empty if nothing is said of the model."""
        source = {"uri": self.source, "sha256": self.sha256, "credentials": self.credentials}
        fields = {
            "source": {name: value for name, value in source.items() if value},
            "family": self.family,
            "base": self.base,
            "options": self.options,
            "voices": [{"name": name, "language": language} for name, language in self.voices.items()],
            "residency": self.residency,
            "load_timeout_ms": self.load_timeout_ms,
            "warm_up_text": self.warm_up_text,
        }
        return {name: value for name, value in fields.items() if value}

    def message(self, model_id: str) -> tts_pb2.LoadModelRequest:
        """The request to a worker."""
        request = tts_pb2.LoadModelRequest(
            model_id=model_id,
            family=self.family,
            base_model_id=self.base,
            options=self.options,
            voices=[tts_pb2.Voice(name=name, language=language) for name, language in self.voices.items()],
            residency=RESIDENCIES.get(self.residency, tts_pb2.RESIDENCY_UNSPECIFIED),
            load_timeout_ms=self.load_timeout_ms,
            warm_up_text=self.warm_up_text,
        )
        if self.source or self.sha256 or self.credentials:
            source = tts_pb2.ModelSource(uri=self.source, sha256=self.sha256, credentials=self.credentials)
            request.source.CopyFrom(source)
        return request


def source_uri(source: str) -> str:
    """A source as it was typed: a URI, or a path on this machine, which becomes a file: URI.

    Raises:
        CliError: It is neither.
    """
    scheme = source.partition(":")[0]
    if not source or (":" in source and len(scheme) > 1 and "/" not in scheme):
        return source
    path = Path(source).expanduser()
    if not path.exists():
        raise CliError(f"--source {source}: there is no such file or folder, and it is no URI", code=ExitCode.USAGE)
    return path.resolve().as_uri()


def pairs(values: Iterable[str], *, flag: str, optional: bool = False) -> dict[str, str]:
    """The values of a flag as NAME=VALUE; with `optional`, NAME alone has an empty value.

    Raises:
        CliError: One has no name, or no value.
    """
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name or not (equals or optional):
            wanted = "NAME[=LANGUAGE]" if optional else "NAME=VALUE"
            raise CliError(f"{flag} {value!r} must be {wanted}", code=ExitCode.USAGE)
        found[name] = text
    return found
