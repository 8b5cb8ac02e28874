"""The body of a load over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.transports.http.load_request import read_load_request


def message(**body: Any) -> dict[str, Any]:
    """The request to a worker, as JSON of protobuf."""
    return json_format.MessageToDict(read_load_request(json.dumps(body).encode()).message("m"))


def test_a_body_describes_a_model() -> None:
    assert message(
        source={"uri": "s3://voices/anna", "sha256": "0" * 64, "credentials": "bucket"},
        family="csm",
        base="csm-1b",
        options={"seed": 7, "watermark": True, "temperature": 0.5, "dtype": "bf16"},
        voices=["anna", {"name": "ben", "language": "de"}],
        languages=["en"],
        residency="pinned",
        ttl_ms=5,
        load_timeout_ms=9,
        warm_up_text="Hi.",
        wait=False,
    ) == {
        "modelId": "m",
        "source": {"uri": "s3://voices/anna", "sha256": "0" * 64, "credentials": "bucket"},
        "family": "csm",
        "baseModelId": "csm-1b",
        "options": {"seed": "7", "watermark": "true", "temperature": "0.5", "dtype": "bf16"},
        "voices": [{"name": "anna"}, {"name": "ben", "language": "de"}],
        "languages": ["en"],
        "residency": "RESIDENCY_PINNED",
        "ttlMs": "5",
        "loadTimeoutMs": "9",
        "warmUpText": "Hi.",
        "noWait": True,
    }


def test_a_source_may_be_its_uri_alone() -> None:
    assert message(source="hf:owner/name")["source"] == {"uri": "hf:owner/name"}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"wait": false, "workers": ["a:1"]}'])
def test_a_body_that_says_nothing_of_the_model_declares_nothing(body: bytes) -> None:
    assert not read_load_request(body).declares


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", ""),
        (b'{"sauce": "x"}', "sauce"),
        (b'{"source": {"uri": ""}}', "source"),
        (b'{"source": {"uri": "s3://x", "sha256": "z"}}', "source"),
        (b'{"ttl_ms": -1}', "ttl_ms"),
        (b'{"residency": "always"}', "residency"),
        (b'{"voices": [3]}', "voices"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, field: str) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        read_load_request(body)
    assert caught.value.reason == "INVALID_MESSAGE"
    assert caught.value.field.startswith(field)
