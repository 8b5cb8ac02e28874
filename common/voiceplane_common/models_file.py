"""The models file: what a worker loads or declares at its start. The operator writes it, the worker reads it.

The file is `{"models": [...]}`, each entry a voiceplane.v1.LoadModelRequest in protobuf's JSON. JSON is YAML, so that a
manual file may be YAML. A new field of LoadModelRequest is in the file without a change here.

Operators and workers of neighbouring versions read each other's files: `residency` is written without its prefix, as
workers read it before the file was protobuf's JSON; `no_wait` and `declare_only` describe a call and are left out; an
entry that an operator wrote (it has a declaration) may have fields that this version does not know.

Source of the mapping: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from voiceplane_proto.v1 import tts_pb2

from voiceplane_common.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RESIDENCIES = {
    "onDemand": tts_pb2.RESIDENCY_ON_DEMAND,
    "preload": tts_pb2.RESIDENCY_PRELOAD,
    "pinned": tts_pb2.RESIDENCY_PINNED,
}
_CALL_FIELDS = ("no_wait", "declare_only")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsFile:
    """A parsed models file.

    Attributes:
        requests: The entries that could be read.
        ignored: What was left out of an operator's entries, because another version wrote them.
    """

    requests: tuple[tts_pb2.LoadModelRequest, ...] = ()
    ignored: tuple[str, ...] = ()


def dump_models_file(requests: Iterable[tts_pb2.LoadModelRequest]) -> str:
    """The models file of these requests, sorted by model id, so that equal requests make equal files."""
    return json.dumps({"models": [_entry(each) for each in sorted(requests, key=lambda each: each.model_id)]}, indent=1)


def parse_models_file(content: Any) -> ModelsFile:
    """A models file from its parsed YAML or JSON; an empty file has no models.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: no models file, or a manual entry with an unknown field or a wrong value.
    """
    if content is None:
        return ModelsFile()
    entries = content.get("models") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise invalid("models", "models is missing or no list: write models: [{modelId: NAME, …}]")
    requests, ignored = [], []
    for number, entry in enumerate(entries):
        where = f"models[{number}]"
        if not isinstance(entry, dict):
            raise invalid(where, f"{where} is no mapping: write {{modelId: NAME, …}}")
        by_operator = bool(entry.get("declaration"))
        try:
            requests.append(_request(entry))
        except ValueError as error:
            if not by_operator:
                raise invalid(where, f"{where}: {error}") from None
            ignored.append(f"{where}: {error}")
            try:
                requests.append(_request(entry, ignore_unknown_fields=True))
            except ValueError as second:
                ignored[-1] = f"{where}: {second}: the whole model"
    return ModelsFile(requests=tuple(requests), ignored=tuple(ignored))


def _entry(request: tts_pb2.LoadModelRequest) -> dict[str, Any]:
    declared = tts_pb2.LoadModelRequest()
    declared.CopyFrom(request)
    for field in _CALL_FIELDS:
        declared.ClearField(field)  # type: ignore[arg-type]  # the stub wants literals
    entry = json_format.MessageToDict(declared)
    names = {number: name for name, number in _RESIDENCIES.items()}
    if request.residency in names:
        entry["residency"] = names[request.residency]
    return entry


def _request(entry: Mapping[str, Any], *, ignore_unknown_fields: bool = False) -> tts_pb2.LoadModelRequest:
    value = entry.get("residency")
    fields = dict(entry)
    if isinstance(value, str) and value in _RESIDENCIES:
        fields["residency"] = _RESIDENCIES[value]
    try:
        return json_format.ParseDict(fields, tts_pb2.LoadModelRequest(), ignore_unknown_fields=ignore_unknown_fields)
    except json_format.ParseError as error:
        raise ValueError(str(error).splitlines()[0]) from None
