"""The models file carries each field of a LoadModel request, between neighbouring versions, too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from voiceplane_common.models_file import dump_models_file, parse_models_file
from voiceplane_proto.v1 import tts_pb2

# What a worker of the version before this format reads; it refuses any other key.
KEYS_BEFORE = {
    *("modelId", "family", "source", "residency", "ttlMs", "minResidencyMs", "warmUpText", "baseModelId", "options"),
    *("voices", "languages", "declaration"),
}
FULL = tts_pb2.LoadModelRequest(
    model_id="joe",
    source=tts_pb2.ModelSource(uri="s3://voices/joe.tar", sha256="a" * 64, credentials="s3.keys"),
    family="mock",
    residency=tts_pb2.RESIDENCY_PINNED,
    ttl_ms=600_000,
    min_residency_ms=7_000,
    load_timeout_ms=9_000,
    warm_up_text="Grüß dich: #1",
    base_model_id="base",
    options={"speed": "1.5"},
    declaration="voiceplane.dev/voicemodel/speech/joe/uid/1",
    voices=[tts_pb2.Voice(name="low", language="en"), tts_pb2.Voice(name="high")],
    languages=["en", "fr"],
)


def parsed(text: str) -> tuple[tts_pb2.LoadModelRequest, ...]:
    file = parse_models_file(json.loads(text))
    assert file.ignored == ()
    return file.requests


def test_each_field_of_a_request_comes_back() -> None:
    set_fields = {field.name for field, _ in FULL.ListFields()}
    every = {field.name for field in tts_pb2.LoadModelRequest.DESCRIPTOR.fields}
    assert every - set_fields == {"no_wait", "declare_only"}, "set the new field in FULL"
    assert parsed(dump_models_file([FULL])) == (FULL,)


def test_a_call_s_own_fields_are_left_out() -> None:
    request = tts_pb2.LoadModelRequest(model_id="joe", no_wait=True, declare_only=True)
    assert parsed(dump_models_file([request])) == (tts_pb2.LoadModelRequest(model_id="joe"),)


def test_models_are_sorted_so_that_equal_models_make_equal_files() -> None:
    one, two = (tts_pb2.LoadModelRequest(model_id=name) for name in ("a", "b"))
    assert dump_models_file([two, one]) == dump_models_file([one, two])


@pytest.mark.parametrize(
    ("residency", "written"),
    [
        (tts_pb2.RESIDENCY_ON_DEMAND, "onDemand"),
        (tts_pb2.RESIDENCY_PRELOAD, "preload"),
        (tts_pb2.RESIDENCY_PINNED, "pinned"),
    ],
)
def test_a_worker_of_the_version_before_reads_the_file(residency: tts_pb2.Residency.ValueType, written: str) -> None:
    request = tts_pb2.LoadModelRequest()
    request.CopyFrom(FULL)
    request.residency = residency
    request.ClearField("load_timeout_ms")  # it did not know this one, which is written only if it is set
    (entry,) = json.loads(dump_models_file([request]))["models"]
    assert entry.keys() <= KEYS_BEFORE
    assert entry["residency"] == written
    assert int(entry["ttlMs"]) == 600_000


def test_the_file_of_an_operator_of_the_version_before_is_read() -> None:
    before: dict[str, Any] = {
        "modelId": "joe",
        "family": "mock",
        "source": {"uri": "file:///voices/joe", "sha256": "a" * 64},
        "residency": "onDemand",
        "ttlMs": 9000,
        "voices": [{"name": "low", "language": "en"}],
        "languages": ["en"],
        "declaration": "voiceplane.dev/voicemodel/speech/joe/uid/1",
    }
    (request,) = parsed(json.dumps({"models": [before]}))
    assert (request.residency, request.ttl_ms) == (tts_pb2.RESIDENCY_ON_DEMAND, 9000)
    assert (request.source.uri, request.voices[0].name) == ("file:///voices/joe", "low")


def test_an_empty_file_has_no_models() -> None:
    assert parse_models_file(None).requests == ()
