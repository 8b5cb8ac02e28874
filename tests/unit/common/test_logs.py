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


@pytest.mark.parametrize("json_lines", [False, True])
def test_a_traceback_names_the_place_but_not_the_values_there(
    capsys: pytest.CaptureFixture[str], json_lines: bool
) -> None:
    logs.configure(json=json_lines, log_transcripts=True)

    def hears(words: str) -> None:
        raise ValueError(f"something with {len(words)} characters")

    try:
        hears("my " + "secret")
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=error)
    written = capsys.readouterr().err
    assert "something with 9 characters" in written
    assert "hears" in written
    assert "my secret" not in written
