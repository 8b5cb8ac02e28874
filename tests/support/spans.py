"""Spans that are kept in memory, for tests of what has one and whose part it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_common import tracing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest
    from voiceplane_common.tracing import Attribute, Kind


class Kept(tracing.Span):
    """A span, and the name of what it is a part of; empty for a whole trace."""

    def __init__(self, book: Recorder, name: str, *, kind: Kind, parent: str = "") -> None:
        self.name = name
        self.kind = kind
        self.parent = parent
        self.attributes: dict[str, Attribute] = {}
        self.failed = ""
        self.over = False
        self._book = book
        book.spans.append(self)

    def child(
        self, name: str, *, kind: Kind = "internal", began_s: float | None = None, **attributes: Attribute
    ) -> Kept:
        del began_s
        span = Kept(self._book, name, kind=kind, parent=self.name)
        span.note(**attributes)
        return span

    def note(self, **attributes: Attribute) -> None:
        self.attributes |= attributes

    def fail(self, reason: str) -> None:
        self.failed = reason

    def end(self, *, at_s: float | None = None) -> None:
        del at_s
        self.over = True


class Recorder:
    """All spans since it was made, in the order in which they began."""

    def __init__(self) -> None:
        self.spans: list[Kept] = []

    def named(self, name: str) -> list[Kept]:
        return [span for span in self.spans if span.name == name]

    def start(
        self,
        name: str,
        *,
        kind: Kind,
        began_s: float | None,
        headers: Iterable[tuple[str, str | bytes]],
        attributes: Mapping[str, Attribute],
    ) -> Kept:
        """As otel.Tracer does."""
        del began_s, headers
        span = Kept(self, name, kind=kind)
        span.note(**attributes)
        return span


def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Turn traces on for one test."""
    recorder = Recorder()
    monkeypatch.setattr(tracing, "_tracer", recorder)
    return recorder
