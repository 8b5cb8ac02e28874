"""Logs never carry what was spoken, unless asked to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import structlog
from voiceplane_common import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("allowed", [False, True])
def test_spoken_words_are_logged_only_when_asked_for(capsys: pytest.CaptureFixture[str], allowed: bool) -> None:
    logs.configure(log_transcripts=allowed)
    structlog.get_logger().info("turn", session_id="s1", transcript="my secret", text="my secret")
    line = json.loads(capsys.readouterr().err)
    assert line["session_id"] == "s1"
    assert ("my secret" in json.dumps(line)) is allowed
