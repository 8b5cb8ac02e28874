"""JSON logs on standard error: one object a line, with session ids and without a word that was spoken.

Spoken and synthesized text is private: its keys are dropped from every line unless the operator of the service has
enabled them (`log_transcripts`).
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from voiceplane_common import tracing

if TYPE_CHECKING:
    from collections.abc import MutableMapping

HIDDEN = "(hidden because it may be spoken text: see log_transcripts)"
PRIVATE_KEYS = frozenset({"text", "transcript", "reply", "partial", "audio_path", "prompt"})


def configure(*, level: str = "info", json: bool = True, log_transcripts: bool = False) -> None:
    """Set up structlog for this process.

    Args:
        level: debug, info, warning or error.
        json: One JSON object a line; otherwise lines for a terminal.
        log_transcripts: Let the keys of PRIVATE_KEYS through, and the messages of exceptions in tracebacks.
    """
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        tracing.add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not log_transcripts:
        processors.append(drop_private)
    if json:
        processors += [_tracebacks(messages=log_transcripts), structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback if log_transcripts else _traceback_without_message
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _tracebacks(*, messages: bool) -> structlog.typing.Processor:
    """Tracebacks without the values of local variables, which hold what was spoken, and keys.

    Args:
        messages: With the exceptions' messages, which a model's library may make of the text that it was given.
    """
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

    def shown(exc_info: structlog.typing.ExcInfo) -> list[dict[str, Any]]:
        stacks = transformer(exc_info)
        return stacks if messages else [_without_message(stack) for stack in stacks]

    return structlog.processors.ExceptionRenderer(shown)


def _without_message(stack: dict[str, Any]) -> dict[str, Any]:
    """A stack of ExceptionDictTransformer, and the stacks of the group that it may be."""
    group = [[_without_message(each) for each in stacks] for stacks in stack.get("exceptions") or ()]
    return stack | {"exc_value": HIDDEN, "exc_notes": [], "syntax_error": None, "exceptions": group}


def _traceback_without_message(out: TextIO, info: structlog.typing.ExcInfo) -> None:
    kind, _, trace = info
    out.write("".join(traceback.format_tb(trace)) + f"{kind.__qualname__}: {HIDDEN}")


def drop_private(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """A structlog processor that removes what was spoken."""
    for key in PRIVATE_KEYS & event.keys():
        del event[key]
    return event


def get_logger(component: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry the component's name."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=component)
    return logger


def take_over(library: str, *, drop: str = "") -> None:
    """Forward a library's log records from "warning" on to structlog, with the library's name as the component.

    Args:
        library: The name of its logger.
        drop: Prefix of messages that do not apply to us.
    """
    logger = logging.getLogger(library)
    if not any(isinstance(handler, _Forward) for handler in logger.handlers):
        logger.addHandler(_Forward(library, drop))
    logger.propagate = False


class _Forward(logging.Handler):
    """Hands records of the standard library to structlog."""

    def __init__(self, library: str, drop: str) -> None:
        super().__init__(level=logging.WARNING)
        self._logger = get_logger(library)
        self._drop = drop

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if self._drop and message.startswith(self._drop):
            return
        self._logger.log(record.levelno, "library_said", message=message, exc_info=record.exc_info)
