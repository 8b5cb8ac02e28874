"""JSON logs on standard error: one object a line, with session ids and without a word that was spoken.

What people say and what they are told is private: a key that would carry it is dropped unless the operator of the
service has asked for it (`log_transcripts`), whoever logs it.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

PRIVATE_KEYS = frozenset({"text", "transcript", "reply", "partial", "audio_path", "prompt"})


def configure(*, level: str = "info", json: bool = True, log_transcripts: bool = False) -> None:
    """Set up structlog for this process.

    Args:
        level: debug, info, warning or error.
        json: One JSON object a line; otherwise lines for a terminal.
        log_transcripts: Let the keys of PRIVATE_KEYS through.
    """
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not log_transcripts:
        processors.append(drop_private)
    if json:
        processors += [_tracebacks(), structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _tracebacks() -> structlog.typing.Processor:
    """Tracebacks without the values of local variables, which hold what was spoken, and keys."""
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return structlog.processors.ExceptionRenderer(transformer)


def drop_private(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """A structlog processor that removes what was spoken."""
    for key in PRIVATE_KEYS & event.keys():
        del event[key]
    return event


def get_logger(component: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry the component's name."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=component)
    return logger
