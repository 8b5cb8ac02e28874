"""Logs never carry what was spoken, unless asked to."""

from __future__ import annotations

import json
import logging
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


@pytest.mark.parametrize("json_lines", [False, True])
@pytest.mark.parametrize("allowed", [False, True])
def test_the_message_of_an_exception_may_be_what_was_spoken(
    capsys: pytest.CaptureFixture[str], json_lines: bool, allowed: bool
) -> None:
    logs.configure(json=json_lines, log_transcripts=allowed)
    words = " ".join(["my", "secret"])
    error = ValueError(f"can't say {words}")
    error.add_note(f"it was {words}")
    try:
        raise ExceptionGroup(f"of {words}", [error]) from error
    except ExceptionGroup as group:
        structlog.get_logger().error("failed", exc_info=group)
    written = capsys.readouterr().err
    assert (words in written) is allowed
    assert (logs.HIDDEN in written) is not allowed
    assert "ExceptionGroup" in written
    assert "test_logs.py" in written


def test_what_a_library_logs_is_a_line_of_ours_but_for_what_is_not_true(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    for _ in range(2):  # taking over twice says nothing twice
        logs.take_over("somelibrary", drop="No one has")
    library = logging.getLogger("somelibrary.part")
    library.info("hardly of interest")
    library.warning("No one has connected")
    library.warning("cannot reach %s", "there")
    line = json.loads(capsys.readouterr().err)
    assert (line["component"], line["level"], line["message"]) == ("somelibrary", "warning", "cannot reach there")
