"""What `voiceplane models load` sends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format
from voiceplane_cli.model_declaration import ModelDeclaration, pairs, source_uri
from voiceplane_cli.output import CliError
from voiceplane_orchestrator.transports.http.load_request import read_load_request

if TYPE_CHECKING:
    from pathlib import Path

ANNA = ModelDeclaration(
    source="s3://voices/anna",
    credentials="bucket",
    family="csm",
    base="csm-1b",
    options={"seed": "7"},
    voices={"anna": "", "ben": "de"},
    residency="pinned",
    load_timeout_ms=9_000,
)


def test_the_server_reads_what_a_worker_gets() -> None:
    assert read_load_request(json.dumps(ANNA.body).encode()).message("m") == ANNA.message("m")


def test_a_load_by_id_alone_has_no_body() -> None:
    assert ModelDeclaration().body == {}
    assert json_format.MessageToDict(ModelDeclaration().message("m")) == {"modelId": "m"}


def test_a_path_is_a_source(tmp_path: Path) -> None:
    folder = tmp_path / "my voice"
    folder.mkdir()
    assert source_uri(str(folder)) == folder.as_uri()
    assert source_uri("hf:owner/name") == "hf:owner/name"
    assert source_uri("") == ""
    with pytest.raises(CliError, match="no such file"):
        source_uri(str(tmp_path / "none"))


def test_a_flag_that_is_no_pair_is_refused() -> None:
    assert pairs(["a=b=c"], flag="--option") == {"a": "b=c"}
    assert pairs(["anna", "ben=de"], flag="--voice", optional=True) == {"anna": "", "ben": "de"}
    for wrong in ("a", "=b"):
        with pytest.raises(CliError, match="NAME=VALUE"):
            pairs([wrong], flag="--option")
